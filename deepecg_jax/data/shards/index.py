"""The tables beside the shards: ``index.parquet``, ``quality.parquet`` and ``rejects.parquet``.

The index has one row a stored ECG in the order of the split's data source, so that label
fractions, folds and patients can be computed without reading a signal.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.data.records import Reject
from deepecg_jax.errors import UserError

INDEX_FILE = "index.parquet"
QUALITY_FILE = "quality.parquet"
REJECTS_FILE = "rejects.parquet"
SUMMARY_FILE = "summary.json"
REBUILD = "build the data set again"

INDEX_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("position", pa.int64()),
        ("record_id", pa.string()),
        ("patient_id", pa.string()),
        ("age", pa.float32()),
        ("sex", pa.string()),
        ("fold", pa.int32()),
        ("labels", pa.list_(pa.int8())),
    ]
)
_ROW_GROUP = 65_536
_REJECT_FIELDS = ("path", "record_id", "stage", "reason", "message")
_REJECTS_SCHEMA = pa.schema([(name, pa.string()) for name in _REJECT_FIELDS])


def index_table(split: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Index of one split from its examples in order (rows also carry ``fold``, -1 if none)."""
    columns: dict[str, list[Any]] = {
        "split": [split] * len(rows),
        "position": list(range(len(rows))),
        "fold": [row["fold"] if row["fold"] >= 0 else None for row in rows],
        "labels": [row["labels"].tolist() for row in rows],
        "age": [float(row["age"]) for row in rows],
    }
    for name in ("record_id", "patient_id", "sex"):
        columns[name] = [row[name] for row in rows]
    return pa.table(columns, schema=INDEX_SCHEMA)


class TableWriter:
    """Writes a Parquet table from pieces; the memory is that of one row group of 65,536 rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._waiting: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Append rows; columns that the table does not have are null."""
        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in self._schema
        ]
        self._waiting.append(pa.table(columns, schema=self._schema))
        if sum(piece.num_rows for piece in self._waiting) >= _ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """End the row group."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []

    def close(self) -> None:
        """Write what is left, and the file's footer."""
        self.flush()
        self._writer.close()


def read_index(folder: Path, split: str | None = None) -> pa.Table:
    """Rows of ``index.parquet``, of one split or of all; UserError when absent or damaged."""
    path = folder / INDEX_FILE
    filters = None if split is None else [("split", "==", split)]
    try:
        table = pq.read_table(path, filters=filters)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; build the data set again.") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}); build the data set again.") from error
    missing = [name for name in INDEX_SCHEMA.names if name not in table.column_names]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}; build the data set again.")
    return table


def read_valid_samples(folder: Path, split: str, n_records: int, n_samples: int) -> np.ndarray:
    """Samples of each stored ECG before its zero padding, int32 (n_records,).

    ``n_samples`` everywhere in a data set whose builder measures no quality, or no padding.
    """
    path = folder / QUALITY_FILE
    full = np.full(n_records, n_samples, np.int32)
    if not path.is_file():
        return full
    try:
        if "valid_samples" not in pq.read_schema(path).names:
            return full
        table = pq.read_table(
            path, columns=["position", "valid_samples"], filters=[("split", "==", split)]
        ).drop_null()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}); build the data set again.") from error
    positions = table["position"].to_numpy()
    if len(positions) and positions.max() >= n_records:
        raise UserError(
            f"{path} measures ECG {positions.max()} of {split}, which has {n_records}; build the "
            "data set again."
        )
    full[positions] = table["valid_samples"].to_numpy()
    return full


def write_rejects(folder: Path, rejects: Iterable[Reject]) -> None:
    """Write ``rejects.parquet`` (path, record_id, stage, reason, message)."""
    rows = [{name: getattr(reject, name) for name in _REJECT_FIELDS} for reject in rejects]
    pq.write_table(pa.Table.from_pylist(rows, schema=_REJECTS_SCHEMA), folder / REJECTS_FILE)


def read_rejects(folder: Path) -> pa.Table:
    """The table of recordings that a build left out."""
    path = folder / REJECTS_FILE
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}); build the data set again.") from error


def label_matrix(index: pa.Table, n_labels: int) -> np.ndarray:
    """Labels of an index table: int8 (number of ECGs, n_labels).

    Raises UserError if a row has another number of labels.
    """
    column = index.column("labels").combine_chunks()
    values = np.asarray(column.flatten(), np.int8)
    lengths = np.asarray(column.value_lengths())
    if (lengths != n_labels).any():
        raise UserError(
            f"index.parquet has rows with {lengths[lengths != n_labels][0]} labels, but "
            f"labels.json names {n_labels}; build the data set again."
        )
    return values.reshape(-1, n_labels)
