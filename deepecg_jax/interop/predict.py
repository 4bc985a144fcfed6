"""A bundle applied to a split on disk or to recording files: rows of a predictions table."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from deepecg_jax.data.shards import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.predictions import write_predictions
from deepecg_jax.interop.bundle import Bundle
from deepecg_jax.signals.contract import require_same
from deepecg_jax.signals.readers import read
from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.standardize import standardize


def predict_split(
    bundle: Bundle,
    data_dir: Path,
    dataset: str,
    split_name: str,
    out: Path,
    batch_size: int,
    console: Console,
) -> int:
    """Predict every record of a split; labels the data set does not have stay empty (null).

    UserError if the signal contracts differ or the bundle has no head. Returns the row count.
    """
    split = open_split(data_dir, dataset, split_name)
    require_same(bundle.signal, split.contract, str(bundle.folder), f"{data_dir}/{dataset}")
    columns = [
        split.label_names.index(name) if name in split.label_names else -1 for name in bundle.labels
    ]
    missing = [name for name, column in zip(bundle.labels, columns, strict=True) if column < 0]
    if missing:
        console.print(
            f"[yellow]{dataset} has no labels for {', '.join(missing[:5])}"
            f"{' ...' if len(missing) > 5 else ''}: left empty[/yellow]"
        )
    scores, labels, fields = [], [], {"record_id": [], "patient_id": [], "age": [], "sex": [],
                                      "site": []}  # fmt: skip
    valid = split.valid_samples
    padded = bool((valid < split.contract.n_samples).any())
    start = time.perf_counter()
    for begin in range(0, len(split), batch_size):
        rows = split.__getitems__(range(begin, min(begin + batch_size, len(split))))
        signal = np.stack([row["signal"] for row in rows]).astype(np.float32) * 1e-3
        scores.append(
            bundle.probabilities(
                signal,
                lead_mask=np.stack([row["lead_mask"] for row in rows]),
                valid_samples=valid[begin : begin + batch_size] if padded else None,
                batch_size=batch_size,
            )
        )
        known = np.stack([row["labels"] for row in rows])
        labels.append(np.where(np.array(columns) < 0, -1, known[:, columns]))
        for name, values in fields.items():
            values += [row[name] for row in rows]
    elapsed = time.perf_counter() - start
    site = fields.pop("site")
    write_predictions(
        out,
        fields["record_id"],
        fields["patient_id"],
        np.asarray(fields["age"], np.float64),
        fields["sex"],
        bundle.labels,
        np.concatenate(labels),
        np.concatenate(scores),
        extra={"site": site},
    )
    console.print(f"{len(split) / elapsed:,.0f} ECG/s")
    return len(split)


def predict_records(
    bundle: Bundle, paths: Sequence[Path], out: Path, batch_size: int
) -> list[tuple[Path, str]]:
    """Predict recording files, their first window each; returns (path, reason) of those left out.

    UserError when none can be read.
    """
    windows, recordings, rejects = [], [], []
    for path in paths:
        try:
            recording = read(path)
            windows.append(standardize(recording, bundle.signal)[0])
            recordings.append(recording)
        except SignalError as error:
            rejects.append((path, str(error)))
    if not windows:
        raise UserError(f"none of the {len(paths)} recordings can be used; {rejects[0][1]}")
    scores = bundle.probabilities(
        np.stack([window.signal for window in windows]),
        lead_mask=np.stack([window.lead_mask for window in windows]),
        valid_samples=np.array([window.valid_samples for window in windows]),
        batch_size=batch_size,
    )
    write_predictions(
        out,
        [recording.record_id for recording in recordings],
        [recording.patient_id or recording.record_id for recording in recordings],
        np.array([recording.age for recording in recordings]),
        [recording.sex for recording in recordings],
        bundle.labels,
        None,
        scores,
    )
    return rejects
