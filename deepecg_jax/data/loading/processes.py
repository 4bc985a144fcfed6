"""Worker processes that read shards for this process, into memory that both see.

Not Grain's: its workers are spawned one by one, each with all imports, live on when this process
is killed, and put batches in /dev/shm unasked, which a container often limits to 64 MB (then they
die by SIGBUS). The memory here is `multiprocessing`'s own, which looks for room first, and has no
name, so that nothing is left behind however a process ends.
"""

import queue
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from deepecg_jax.data import aligned
from deepecg_jax.data.loading.records import BYTES_AN_ECG, Records, Selected
from deepecg_jax.data.shards.schema import SIGNAL_SHAPE
from deepecg_jax.data.shards.split import Split
from deepecg_jax.data.workers import start_server, worker_context, worker_pool
from deepecg_jax.errors import UserError

_KILLED = (
    "A worker process that reads the data was killed, most likely for lack of memory; use fewer "
    "data.workers, or data.workers=0 to read in the training process."
)
_BYTES = BYTES_AN_ECG + SIGNAL_SHAPE[1]  # of a row: signal and lead mask


def start_readers() -> None:
    """Start what the processes are forked from; returns at once, so that it can load meanwhile."""
    start_server(needs=__name__)


@contextmanager
def read_by_processes(
    sources: Sequence[Records], workers: int, threads: int, at_once: int, rows: int
) -> Iterator[list[Records]]:
    """The sources, of which those on disk are read by ``workers`` processes in the block (0: here).

    A source in memory stays as it is: a process would only copy it.

    Args:
        threads: readers in each process.
        at_once: batches that this process asks for at a time; each takes memory of its own.
        rows: the most ECGs asked for at a time.

    Raises:
        UserError: in the block, where a process was killed or a shard is damaged.
    """
    on_disk = [s.source for s in sources if isinstance(s, Selected) and isinstance(s.source, Split)]
    if not workers or not on_disk:
        yield list(sources)
        return
    slots = [worker_context().RawArray("b", rows * _BYTES) for _ in range(at_once)]
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(at_once):
        free.put(number)
    splits = [split.without_index() for split in on_disk]
    with worker_pool(workers, _KILLED, _prepare, (splits, slots, threads)) as pool:
        readers = iter([_ReadElsewhere(i, len(s), pool, slots, free) for i, s in enumerate(splits)])
        try:
            yield [
                replace(source, source=next(readers))
                if isinstance(source, Selected) and isinstance(source.source, Split)
                else source
                for source in sources
            ]
        except GeneratorExit:
            return  # the training is over: what is being read is finished, and nobody is killed


@dataclass(frozen=True)
class _ReadElsewhere:
    """A split that worker processes read."""

    number: int
    length: int
    pool: ProcessPoolExecutor
    slots: Sequence[Any]
    free: "queue.SimpleQueue[int]"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return {name: rows[0] for name, rows in self.rows(np.array([position])).items()}

    def rows(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """``signal`` and ``lead_mask``, as `Split.rows`; several threads may ask at once."""
        slot = self.free.get()
        try:
            self.pool.submit(_read, self.number, positions, slot).result()
            signal, lead_mask = _arrays(self.slots[slot], len(positions))
            return {"signal": aligned.copy(signal), "lead_mask": aligned.copy(lead_mask)}
        except BrokenProcessPool as error:
            raise UserError(_KILLED) from error
        finally:
            self.free.put(slot)


def _arrays(slot: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals (n, 2500, 12) int16 and lead masks (n, 12) bool in the shared bytes."""
    signal = np.frombuffer(slot, np.int16, n * BYTES_AN_ECG // 2).reshape(n, *SIGNAL_SHAPE)
    mask = np.frombuffer(slot, bool, n * SIGNAL_SHAPE[1], n * BYTES_AN_ECG)
    return signal, mask.reshape(n, -1)


# ---- in a worker process -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reader:
    splits: Sequence[Split]
    slots: Sequence[Any]
    threads: int
    pool: ThreadPoolExecutor


_readers: list[_Reader] = []


def _prepare(splits: Sequence[Split], slots: Sequence[Any], threads: int) -> None:
    # a scheduler stops all processes of a job at once, but the training reads on to save its state
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _readers.append(_Reader(splits, slots, threads, ThreadPoolExecutor(threads)))


def _read(number: int, positions: np.ndarray, slot: int) -> None:
    """Fill a slot; every thread reads some of the rows."""
    (own,) = _readers
    signal_, mask = _arrays(own.slots[slot], len(positions))
    parts = [part for part in np.array_split(np.arange(len(positions)), own.threads) if len(part)]
    fill = partial(_fill, own.splits[number], positions, signal_, mask)
    list(own.pool.map(fill, parts))


def _fill(
    split: Split, positions: np.ndarray, signals: np.ndarray, masks: np.ndarray, part: np.ndarray
) -> None:
    rows = slice(int(part[0]), int(part[-1]) + 1)
    split.read_into(positions[rows], signals[rows], masks[rows])
