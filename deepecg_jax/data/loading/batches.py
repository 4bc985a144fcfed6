"""Shards to batches with Grain: global shuffle, prefetch, a part for each host, any position.

The position in the data is a function of the step: step ``s`` reads items ``s * B`` to
``(s + 1) * B`` of one endless shuffled order, whatever the number of hosts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grain
import numpy as np

BYTES_AN_ECG = 2500 * 12 * 2


class Records(Protocol):
    """Random access to records: a split on disk, or arrays in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class ArrayRecords:
    """Records held in memory as one array a feature; an index gives views, no copies."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.arrays.items()}


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


def training_batches(
    sources: Sequence[Records],
    shares: Sequence[float],
    global_batch: int,
    seed: int,
    step: int = 0,
    rows: np.ndarray | None = None,
    threads: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches from ``step`` on, or of each batch the ``rows`` that this host reads.

    sources, shares: data sets and the share of ECGs drawn from each (shares sum to 1). Every
    pass over a source is shuffled anew. Row r of a batch is the same ECG whoever reads it, so that
    what is random for a row does not depend on the number of hosts.
    """
    own = np.arange(global_batch) if rows is None else rows
    datasets = [
        grain.MapDataset.source(cast(Any, source)).seed(seed + i).shuffle().repeat()
        for i, source in enumerate(sources)
    ]
    mixed = (
        datasets[0] if len(datasets) == 1 else grain.MapDataset.mix(datasets, weights=list(shares))
    )
    drawn = _RowsOfBatches(mixed, position_of(step, global_batch), global_batch, own)
    batches = grain.MapDataset.source(cast(Any, drawn)).batch(len(own), drop_remainder=True)
    # a thread makes a whole batch, and the buffer holds batches
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(batches.to_iter_dataset(options))


@dataclass(frozen=True)
class _RowsOfBatches:
    """Some rows of each batch of an endless stream, one after another."""

    stream: Any  # random access
    position: Mapping[str, int]  # where the first batch begins
    batch: int
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.stream) // self.batch * len(self.rows) - 1

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        number, place = divmod(index, len(self.rows))
        start = self.position["global_next_index"] + number * self.batch
        return self.stream[start + int(self.rows[place])]


def position_of(step: int, global_batch: int) -> dict[str, int]:
    """Where in the data step ``step`` begins."""
    return {"global_next_index": step * global_batch}


def evaluation_batches(
    records: Records, batch: int, rows: np.ndarray | None = None
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Every record once, in order: (batch, rows that count); the last batch repeats its last row.

    rows: of each batch those that this host reads; None for all. Equal shapes mean one compilation.
    """
    own = range(batch) if rows is None else rows
    for start in range(0, len(records), batch):
        real = min(batch, len(records) - start)
        chosen = [records[start + min(int(row), real - 1)] for row in own]
        yield {name: np.stack([row[name] for row in chosen]) for name in chosen[0]}, real
