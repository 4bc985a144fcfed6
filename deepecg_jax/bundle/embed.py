"""A bundle applied to a split on disk or to recordings: one vector an ECG, as a table.

Beside what a predictions table says of an ECG it has the columns ``embedding:000``,
``embedding:001``, ... in the order of the vector, so that scikit-learn, R or a spreadsheet can fit
on it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.bundle.ecgs import Known, ecgs_of_records, ecgs_of_split, table_of
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import Split
from deepecg_jax.evaluation.table.columns import LABEL
from deepecg_jax.evaluation.table.predictions import label_column, to_table
from deepecg_jax.labels.select import select_labels
from deepecg_jax.models.readouts import MEAN, check_readout
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.standard.site_profile import SiteProfiles

EMBEDDING = "embedding:"
_DIGITS = 3


@dataclass(frozen=True)
class Embedded:
    """A table of vectors and how it came about.

    Attributes:
        table: a row an ECG: ``record_id``, ``patient_id``, ``age``, ``sex``, ``site``, ``device``,
            follow-up where there is any, ``label:NAME`` of the labels asked for, and the vector in
            ``embedding:000`` and so on, float32.
        width: of a vector.
        left_out: (place, reason) of recordings that cannot be used.
        seconds: what reading and computing took.
    """

    table: pa.Table
    width: int
    left_out: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def embed_split(
    bundle: Bundle,
    split: Split,
    readout: str = MEAN,
    labels: Sequence[str] = (),
    batch_size: int = 64,
    conversion: bool = False,
    where: Sequence[str] = (),
) -> Embedded:
    """Embed every record of a split.

    readout: what the vector is (`models.readouts.READOUTS`).
    labels: of the data set, to stand beside the vectors; a name with * takes all that fit.
    conversion, where: see `bundle.predict.predict_split`; of several windows the mean vector.
    UserError if the encoder has no such readout, or the data set no such label.
    """
    check_readout(readout, bundle.architecture.model)
    names, columns = select_labels(labels, split.label_names, str(split.folder.parent))
    positions = positions_where(split, where)
    start = time.perf_counter()
    known: list[Known] = []
    vectors, chosen = [], []
    for ecgs in ecgs_of_split(
        split, positions, bundle.signal, bundle.folder, batch_size, conversion
    ):
        vectors.append(bundle.vectors(ecgs.windows, readout, batch_size))
        chosen.append(ecgs.labels[:, columns.astype(int)])
        known += ecgs.known
    found = np.concatenate(vectors)
    table = _table(known, names, np.concatenate(chosen), found)
    return Embedded(table, found.shape[1], seconds=time.perf_counter() - start)


def embed_records(
    bundle: Bundle,
    records: Sequence[str | Path | Recording],
    readout: str = MEAN,
    batch_size: int = 64,
    profiles: SiteProfiles | None = None,
) -> Embedded:
    """Embed recordings or the files that hold them: the mean vector of the whole windows of each.

    See `embed_split`, and `bundle.predict.predict_records`.
    """
    check_readout(readout, bundle.architecture.model)
    left_out: list[tuple[str, str]] = []
    start = time.perf_counter()
    known: list[Known] = []
    vectors = []
    for ecgs in ecgs_of_records(records, bundle.signal, left_out, batch_size, profiles):
        vectors.append(bundle.vectors(ecgs.windows, readout, batch_size))
        known += ecgs.known
    found = np.concatenate(vectors)
    table = _table(known, (), np.zeros((len(found), 0), np.int8), found)
    return Embedded(table, found.shape[1], tuple(left_out), time.perf_counter() - start)


def embedding_names(width: int) -> list[str]:
    """Columns of a vector; sorted by name they stand in its order."""
    digits = max(_DIGITS, len(str(width - 1)))
    return [f"{EMBEDDING}{number:0{digits}d}" for number in range(width)]


def _table(
    known: Sequence[Known], names: Sequence[str], labels: np.ndarray, vectors: np.ndarray
) -> pa.Table:
    none = np.zeros((len(known), 0), np.float32)
    table = to_table(table_of(known, (), none.astype(np.int8), none))
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns |= {f"{LABEL}{name}": label_column(labels[:, i]) for i, name in enumerate(names)}
    columns |= {
        name: pa.array(np.ascontiguousarray(values))
        for name, values in zip(embedding_names(vectors.shape[1]), vectors.T, strict=True)
    }
    return pa.table(columns)
