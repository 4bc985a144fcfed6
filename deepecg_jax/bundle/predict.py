"""A bundle applied to a split on disk or to recordings: rows of a predictions table."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.bundle.ecgs import Known, ecgs_of_records, ecgs_of_split, table_of
from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import Split
from deepecg_jax.evaluation.table.columns import UNKNOWN
from deepecg_jax.evaluation.table.predictions import Predictions
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.standard.site_profile import SiteProfiles


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


def predict_split(
    bundle: Bundle,
    split: Split,
    batch_size: int = 64,
    conversion: bool = False,
    where: Sequence[str] = (),
    protocol: EvaluationProtocol | None = None,
) -> Predicted:
    """Predict every record of a split; labels the data set does not have stay unknown.

    conversion: convert the data set's signals to the bundle's contract where they differ; an ECG
        that is longer than the bundle's window is predicted from all its whole windows.
    where: only ECGs that fulfil these conditions (see :mod:`deepecg_jax.data.shards.selection`).
    protocol: crops, and how the scores of crops and windows are joined; the bundle's if not given.
    UserError if the signal contracts differ (without ``conversion``) or the bundle has no head.
    """
    columns = np.array(
        [split.label_names.index(n) if n in split.label_names else -1 for n in bundle.labels], int
    )
    positions = positions_where(split, where)
    start = time.perf_counter()
    known: list[Known] = []
    scores, labels = [], []
    for ecgs in ecgs_of_split(
        split, positions, bundle.signal, bundle.folder, batch_size, conversion
    ):
        scores.append(bundle.scores(ecgs.windows, protocol, batch_size))
        labels.append(np.where(columns < 0, UNKNOWN, ecgs.labels[:, columns]))
        known += ecgs.known
    seconds = time.perf_counter() - start
    table = table_of(known, bundle.labels, np.concatenate(labels), np.concatenate(scores))
    missing = tuple(n for n, column in zip(bundle.labels, columns, strict=True) if column < 0)
    return Predicted(table, unlabelled=missing, seconds=seconds)


def predict_records(
    bundle: Bundle,
    records: Sequence[str | Path | Recording],
    batch_size: int = 64,
    profiles: SiteProfiles | None = None,
    protocol: EvaluationProtocol | None = None,
) -> Predicted:
    """Predict recordings or the files that hold them, from all whole windows of each.

    They are brought to the bundle's contract. With the scaling ``deepecg`` the ECGs of a call are
    standardised together, in batches of 512 in the order given: the score of one depends on the
    others, as in the original. A patient who is not known counts as one of this ECG alone.
    ``profiles``: for a bundle that was trained on filtered ECGs. ``protocol``: see `predict_split`.

    UserError when none can be used.
    """
    left_out: list[tuple[str, str]] = []
    start = time.perf_counter()
    known: list[Known] = []
    scores = []
    for ecgs in ecgs_of_records(records, bundle.signal, left_out, batch_size, profiles):
        scores.append(bundle.scores(ecgs.windows, protocol, batch_size))
        known += ecgs.known
    found = np.concatenate(scores)
    table = table_of(known, bundle.labels, np.full(found.shape, UNKNOWN, np.int8), found)
    return Predicted(table, tuple(left_out), seconds=time.perf_counter() - start)
