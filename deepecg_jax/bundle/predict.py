"""A bundle applied to a split on disk or to recording files: rows of a predictions table."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import write_predictions
from deepecg_jax.signals.contract import require_same
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.standard.choose import DEEPECG_BATCH, choose
from deepecg_jax.signals.standard.convert import convert
from deepecg_jax.signals.standard.millivolt import Window
from deepecg_jax.signals.standard.site_profile import SiteProfiles


def predict_split(
    bundle: Bundle,
    data_dir: Path,
    dataset: str,
    split_name: str,
    out: Path,
    batch_size: int,
    console: Console,
    conversion: bool = False,
    where: Sequence[str] = (),
) -> int:
    """Predict every record of a split; labels the data set does not have stay empty (null).

    conversion: convert the data set's signals to the bundle's contract where they differ; an ECG
        that is longer than the bundle's window gets the mean probability of its whole windows.
    where: only ECGs that fulfil these conditions (see :mod:`deepecg_jax.data.shards.selection`).
    UserError if the signal contracts differ (without ``conversion``) or the bundle has no head.
    Returns the row count.
    """
    split = open_split(data_dir, dataset, split_name)
    named = f"{data_dir}/{dataset}"
    if not conversion:
        require_same(bundle.signal, split.contract, str(bundle.folder), named)
    columns = [
        split.label_names.index(name) if name in split.label_names else -1 for name in bundle.labels
    ]
    missing = [name for name, column in zip(bundle.labels, columns, strict=True) if column < 0]
    if missing:
        console.print(
            f"[yellow]{dataset} has no labels for {', '.join(missing[:5])}"
            f"{' ...' if len(missing) > 5 else ''}: left empty[/yellow]"
        )
    scores, labels, fields = (
        [],
        [],
        {"record_id": [], "patient_id": [], "age": [], "sex": [], "site": []},
    )
    positions = positions_where(split, where)
    valid = split.valid_samples
    start = time.perf_counter()
    for begin in range(0, len(positions), batch_size):
        chosen = positions[begin : begin + batch_size]
        rows = split.__getitems__(chosen)
        signal = np.stack([row["signal"] for row in rows]).astype(np.float32) * 1e-3
        signal = np.where(np.stack([row["lead_mask"] for row in rows])[:, None], signal, 0.0)
        pieces = valid[chosen]
        if conversion:
            windows, pieces = convert(signal, pieces, split.contract, bundle.signal, named)
        else:
            windows, pieces = signal[:, None], pieces[:, None]
        scores.append(mean_over_windows(bundle, windows, pieces, batch_size))
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
    console.print(f"{len(positions) / elapsed:,.0f} ECG/s")
    return len(positions)


def mean_over_windows(
    bundle: Bundle, windows: np.ndarray, valid_samples: np.ndarray, batch_size: int
) -> np.ndarray:
    """Mean probabilities over the windows of each ECG that hold any signal, (N, labels).

    windows: (N, W, T, L) in the bundle's form; valid_samples: (N, W).
    """
    n, count = windows.shape[:2]
    flat = bundle.probabilities(
        windows.reshape(n * count, *windows.shape[2:]),
        valid_samples=np.maximum(valid_samples.reshape(-1), 1),
        batch_size=batch_size,
    )
    weight = (valid_samples > 0).astype(np.float32)
    weight /= weight.sum(1, keepdims=True)
    return (flat.reshape(n, count, -1) * weight[..., None]).sum(1)


def predict_records(
    bundle: Bundle,
    paths: Sequence[Path],
    out: Path,
    batch_size: int,
    profiles: SiteProfiles | None = None,
) -> list[tuple[Path, str]]:
    """Predict recording files, the mean over the whole windows of each.

    Files are brought to the bundle's contract. With the scaling ``deepecg`` the files of a call are
    standardised together, in batches of 512 in the order given: the score of one depends on the
    others, as in the original. ``profiles``: for a bundle that was trained on filtered ECGs.

    Returns (path, reason) of those left out; UserError when none can be read.
    """
    contract = bundle.signal
    standardisation = choose(contract, profiles=profiles)
    at_once = DEEPECG_BATCH if contract.scaling == "deepecg" else 4 * batch_size
    recordings, rejects = [], []
    scores: list[np.ndarray] = []
    waiting: list[list[Window]] = []  # of each recording

    def flush() -> None:
        windows = standardisation.together([window for part in waiting for window in part])
        signal = np.stack([window.signal for window in windows])
        valid = np.array([window.valid_samples for window in windows])
        flat = bundle.probabilities(signal, valid_samples=valid, batch_size=batch_size)
        ends = np.cumsum([len(part) for part in waiting])
        scores.extend(part.mean(0) for part in np.split(flat, ends[:-1]))
        waiting.clear()

    for path in paths:
        try:
            recording = read(path)
            windows = standardisation.windows(recording, recording.site)
        except SignalError as error:
            rejects.append((path, str(error)))
            continue
        recordings.append(recording)
        waiting.append(windows)
        if sum(len(part) for part in waiting) >= at_once:
            flush()
    if waiting:
        flush()
    if not recordings:
        path, reason = rejects[0]
        many = f"none of the {len(paths)} recordings can be used; the first, " * (len(paths) > 1)
        raise UserError(f"{many}{path}: {reason}")
    write_predictions(
        out,
        [recording.record_id for recording in recordings],
        [recording.patient_id or recording.record_id for recording in recordings],
        np.array([recording.age for recording in recordings]),
        [recording.sex for recording in recordings],
        bundle.labels,
        None,
        np.stack(scores),
    )
    return rejects
