"""A bundle applied to a split on disk or to recordings: rows of a predictions table."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.bundle.windows import batches
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import Split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.columns import UNKNOWN
from deepecg_jax.evaluation.table.predictions import EVENT, TIME, Predictions
from deepecg_jax.signals.contract import require_same
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard.choose import DEEPECG_BATCH, choose
from deepecg_jax.signals.standard.convert import convert
from deepecg_jax.signals.standard.millivolt import Window
from deepecg_jax.signals.standard.site_profile import SiteProfiles
from deepecg_jax.signals.units import from_stored

_IDENTITY = ("record_id", "patient_id", "age", "sex")
_TEXTS = ("site", "device")
_FOLLOW_UP = (TIME, EVENT)


@dataclass(frozen=True)
class Predicted:
    """A predictions table and how it came about.

    Attributes:
        table: a row an ECG, with ``site`` and ``device``, and with ``time_days`` and ``event``
            where there is any follow-up.
        left_out: (place, reason) of recordings that cannot be used.
        unlabelled: labels of the bundle that the data set does not have.
        seconds: what reading and computing took.
    """

    table: Predictions
    left_out: tuple[tuple[str, str], ...] = ()
    unlabelled: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass
class _Rows:
    """What is known of each ECG beside its scores, field by field."""

    fields: tuple[str, ...]
    values: dict[str, list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {name: [] for name in self.fields}

    def add(self, known: Mapping[str, Any]) -> None:
        for name, values in self.values.items():
            values.append(known[name])

    def table(self, bundle: Bundle, labels: np.ndarray, scores: np.ndarray) -> Predictions:
        texts = {name: np.array(self.values[name], object) for name in self.fields}
        extra: dict[str, np.ndarray] = {name: texts[name] for name in _TEXTS}
        if TIME in self.fields:
            days = np.array(self.values[TIME], np.float32)
            if not np.isnan(days).all():
                extra |= {TIME: days, EVENT: np.array(self.values[EVENT], np.int8)}
        return Predictions(
            names=tuple(bundle.labels),
            labels=labels,
            scores=scores,
            record_id=texts["record_id"],
            patient_id=texts["patient_id"],
            age=np.array(self.values["age"], np.float64),
            sex=texts["sex"],
            extra=extra,
        )


def predict_split(
    bundle: Bundle,
    split: Split,
    batch_size: int = 64,
    conversion: bool = False,
    where: Sequence[str] = (),
) -> Predicted:
    """Predict every record of a split; labels the data set does not have stay unknown.

    conversion: convert the data set's signals to the bundle's contract where they differ; an ECG
        that is longer than the bundle's window gets the mean probability of its whole windows.
    where: only ECGs that fulfil these conditions (see :mod:`deepecg_jax.data.shards.selection`).
    UserError if the signal contracts differ (without ``conversion``) or the bundle has no head.
    """
    named = str(split.folder.parent)
    if not conversion:
        require_same(bundle.signal, split.contract, str(bundle.folder), named)
    columns = np.array(
        [split.label_names.index(n) if n in split.label_names else -1 for n in bundle.labels], int
    )
    rows = _Rows(_IDENTITY + _TEXTS + _FOLLOW_UP)
    scores, labels = [], []
    positions = positions_where(split, where)
    valid = split.valid_samples
    start = time.perf_counter()
    for begin in range(0, len(positions), batch_size):
        chosen = positions[begin : begin + batch_size]
        records = split.__getitems__(chosen)
        signal = from_stored(np.stack([record["signal"] for record in records]))
        signal = np.where(np.stack([r["lead_mask"] for r in records])[:, None], signal, 0.0)
        pieces = valid[chosen]
        if conversion:
            windows, pieces = convert(signal, pieces, split.contract, bundle.signal, named)
        else:
            windows, pieces = signal[:, None], pieces[:, None]
        scores.append(mean_over_windows(bundle, windows, pieces, batch_size))
        known = np.stack([record["labels"] for record in records])
        labels.append(np.where(columns < 0, UNKNOWN, known[:, columns]))
        for record in records:
            rows.add(record)
    seconds = time.perf_counter() - start
    table = rows.table(bundle, np.concatenate(labels), np.concatenate(scores))
    missing = tuple(n for n, column in zip(bundle.labels, columns, strict=True) if column < 0)
    return Predicted(table, unlabelled=missing, seconds=seconds)


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
    records: Sequence[str | Path | Recording],
    batch_size: int = 64,
    profiles: SiteProfiles | None = None,
) -> Predicted:
    """Predict recordings or the files that hold them, the mean over the whole windows of each.

    They are brought to the bundle's contract. With the scaling ``deepecg`` the ECGs of a call are
    standardised together, in batches of 512 in the order given: the score of one depends on the
    others, as in the original. A patient who is not known counts as one of this ECG alone.
    ``profiles``: for a bundle that was trained on filtered ECGs.

    UserError when none can be used.
    """
    contract = bundle.signal
    standardisation = choose(contract, profiles=profiles)
    rows = _Rows(_IDENTITY + _TEXTS)
    left_out: list[tuple[str, str]] = []

    def pieces() -> Iterator[list[Window]]:
        for record in records:
            known = isinstance(record, Recording)
            try:
                recording = record if known else read(record)
                windows = standardisation.windows(recording, recording.site)
            except SignalError as error:
                left_out.append((record.record_id if known else str(record), str(error)))
                continue
            rows.add({**vars(recording), "patient_id": recording.patient_id or recording.record_id})
            yield windows

    start = time.perf_counter()
    at_once = DEEPECG_BATCH if contract.scaling == "deepecg" else 4 * batch_size
    scores = [
        windows.mean(
            bundle.probabilities(
                windows.signals, valid_samples=windows.valid_samples, batch_size=batch_size
            )
        )
        for windows in batches(pieces(), standardisation, at_once)
    ]
    if not scores:
        if not left_out:
            raise UserError("There is no recording to predict.")
        place, reason = left_out[0]
        many = f"none of the {len(left_out)} recordings can be used; the first, "
        raise UserError(f"{many * (len(left_out) > 1)}{place}: {reason}")
    found = np.concatenate(scores)
    table = rows.table(bundle, np.full(found.shape, UNKNOWN, np.int8), found)
    return Predicted(table, tuple(left_out), seconds=time.perf_counter() - start)
