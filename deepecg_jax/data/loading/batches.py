"""Records to batches: global shuffle, read ahead, a part for each host, any position.

The position in the data is a function of the step: step ``s`` reads items ``s * B`` to
``(s + 1) * B`` of one endless shuffled order, whatever the number of hosts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grain
import numpy as np

from deepecg_jax.data import aligned
from deepecg_jax.data.loading.order import Order
from deepecg_jax.data.loading.processes import read_by_processes, start_readers
from deepecg_jax.data.loading.records import Records, rows_of


def training_batches(
    sources: Sequence[Records],
    shares: Sequence[float],
    global_batch: int,
    seed: int,
    step: int = 0,
    rows: np.ndarray | None = None,
    threads: int = 4,
    workers: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches from ``step`` on, or of each batch the ``rows`` that this host reads.

    sources, shares: data sets and the share of ECGs drawn from each (shares sum to 1). Every
    pass over a source is shuffled anew. Row r of a batch is the same ECG whoever reads it, so that
    what is random for a row does not depend on the number of hosts, threads or workers.
    threads: read ahead in this process, each a whole batch.
    workers: processes that read what is on disk instead, each with ``threads`` threads; closing
        the iterator ends them.
    """
    own = np.arange(global_batch) if rows is None else rows
    order = Order([len(source) for source in sources], shares, seed)
    if workers:
        start_readers()
    start = position_of(step, global_batch)["global_next_index"]
    return _read_ahead(sources, order, start, global_batch, own, threads, workers)


def _read_ahead(
    sources: Sequence[Records],
    order: Order,
    start: int,
    batch: int,
    rows: np.ndarray,
    threads: int,
    workers: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches made by threads; the processes live as long as the iterator."""
    # with workers a thread only waits for one of them, and one thread more copies meanwhile
    at_once = workers + 1 if workers else threads
    with read_by_processes(sources, workers, threads, at_once, len(rows)) as readable:
        batches = _Batches(readable, order, start, batch, rows)
        # a thread makes a whole batch, and the buffer holds batches
        ahead = at_once if workers else 2 * threads
        options = grain.ReadOptions(num_threads=at_once, prefetch_buffer_size=ahead)
        made = iter(grain.MapDataset.source(cast(Any, batches)).to_iter_dataset(options))
        try:
            yield from made
        finally:
            made.close()


@dataclass(frozen=True)
class _Batches:
    """Batch i of an endless stream: of its items, those in ``rows``."""

    sources: Sequence[Records]
    order: Order
    start: int  # item that the first batch begins with
    batch: int
    rows: np.ndarray

    def __len__(self) -> int:
        return (len(self.order) - self.start) // self.batch

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        items = (self.start + number * self.batch + self.rows.astype(np.int64)).tolist()
        parts = [
            (places, rows_of(self.sources[source], positions))
            for source, positions, places in self.order.parts(items)
        ]
        if len(parts) == 1:
            return parts[0][1]
        mixed = {
            name: aligned.empty((len(items), *array.shape[1:]), array.dtype)
            for name, array in parts[0][1].items()
        }
        for places, arrays in parts:
            for name, array in arrays.items():
                mixed[name][places] = array
        return mixed


def position_of(step: int, global_batch: int) -> dict[str, int]:
    """Where in the data step ``step`` begins."""
    return {"global_next_index": step * global_batch}


def evaluation_batches(
    records: Records, batch: int, rows: np.ndarray | None = None
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Every record once, in order: (batch, rows that count); the last batch repeats its last row.

    rows: of each batch those that this host reads; None for all. Equal shapes mean one compilation.
    """
    own = np.arange(batch) if rows is None else rows
    for start in range(0, len(records), batch):
        real = min(batch, len(records) - start)
        yield rows_of(records, start + np.minimum(own, real - 1)), real
