"""What batches are made of: records by their position, one or many at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from deepecg_jax.data import aligned

BYTES_AN_ECG = 2500 * 12 * 2
_LARGE = 1024  # bytes of a row


class Records(Protocol):
    """Random access to records: a split on disk, or arrays in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Mapping[str, Any]: ...


@runtime_checkable
class Rows(Protocol):
    """Records that give many at once without making a record of each."""

    def rows(self, positions: np.ndarray, /) -> Mapping[str, np.ndarray]:
        """Feature -> array with one row for each of ``positions``, in their order."""
        ...


def rows_of(records: Records, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Some records as arrays with one row each, in the order of ``positions`` (n,)."""
    if isinstance(records, Rows):
        return dict(records.rows(positions))
    chosen = [records[position] for position in positions.tolist()]
    return {name: np.stack([record[name] for record in chosen]) for name in chosen[0]}


@dataclass(frozen=True)
class ArrayRecords:
    """Records held in memory as one array a feature; an index gives views, no copies."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.arrays.items()}

    def rows(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Copies of some rows."""
        return {name: _taken(values, positions) for name, values in self.arrays.items()}


def _taken(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Some rows, copied once, to where a device takes them."""
    if values[:1].nbytes < _LARGE:
        return values[positions]
    rows = aligned.empty((len(positions), *values.shape[1:]), values.dtype)
    for row, position in zip(rows, positions.tolist(), strict=True):
        row[...] = values[position]
    return rows


@dataclass(frozen=True)
class Selected:
    """Some records of a source, with extra columns, reduced to the features a step needs."""

    source: Records
    positions: np.ndarray
    features: Sequence[str]
    columns: Mapping[str, np.ndarray]  # name -> one value a selected record

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.source[int(self.positions[index])]
        chosen = {name: record[name] for name in self.features}
        return chosen | {name: values[index] for name, values in self.columns.items()}

    def rows(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Some of the selected records."""
        read = rows_of(self.source, self.positions[positions])
        chosen = {name: read[name] for name in self.features}
        return chosen | {name: values[positions] for name, values in self.columns.items()}
