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
    host: int = 0,
    hosts: int = 1,
    threads: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches from ``step`` on; each host gets its ``global_batch / hosts`` rows.

    sources, shares: data sets and the share of ECGs drawn from each (shares sum to 1). Every
    pass over a source is shuffled anew.
    """
    datasets = [
        grain.MapDataset.source(cast(Any, source)).seed(seed + i).shuffle().repeat()
        for i, source in enumerate(sources)
    ]
    mixed = (
        datasets[0] if len(datasets) == 1 else grain.MapDataset.mix(datasets, weights=list(shares))
    )
    stream = grain.experimental.ElasticIterator(
        mixed,
        global_batch,
        grain.sharding.ShardOptions(shard_index=host, shard_count=hosts),
        read_options=grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=2 * global_batch // hosts
        ),
    )
    iterator = iter(stream)
    iterator.set_state(position_of(step, global_batch))
    return iterator


def position_of(step: int, global_batch: int) -> dict[str, int]:
    """Where in the data step ``step`` begins."""
    return {"global_next_index": step * global_batch}


def evaluation_batches(records: Records, batch: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Every record once, in order: (batch, rows that count); the last batch repeats its last row.

    Equal shapes mean one compilation.
    """
    for start in range(0, len(records), batch):
        rows = [records[i] for i in range(start, min(start + batch, len(records)))]
        real = len(rows)
        rows += [rows[-1]] * (batch - real)
        yield {name: np.stack([row[name] for row in rows]) for name in rows[0]}, real
