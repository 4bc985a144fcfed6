"""Shards in parallel: each is written by one process, which holds one ECG at a time.

TFDS' own writer is not used: it writes in one process, and needs TensorFlow beyond 1 GB.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import SynchronizedArray

from deepecg_jax.data.staging.shard import Recipe, Shard
from deepecg_jax.data.staging.writing import write_shard
from deepecg_jax.data.workers import one_thread_each, worker_context, worker_pool

Report = Callable[[int, int], None]
"""Called with the number of records done and of those rejected, since the start."""

_AHEAD = 2  # shards waiting for each worker: one is half a megabyte on its way to a process
_KILLED = (
    "A worker process was killed, most likely for lack of memory; build again with fewer "
    "--workers, or with --workers 1 to see the file at which it happens. Finished shards "
    "are kept."
)


def write_in_processes(
    shards: Sequence[Shard], recipe: Recipe, workers: int, report: Report
) -> None:
    """Write all shards by ``workers`` processes, or in this one.

    Raises:
        UserError: a worker process was killed (out of memory, or a crash inside a library).
    """
    # The largest first, so that no long task is left for the end.
    ordered = sorted(shards, key=lambda shard: (-len(shard.records), shard.split, shard.number))
    if workers <= 1 or len(ordered) <= 1:
        _write_here(ordered, recipe, report)
        return
    counts = worker_context().Array("q", 2)
    processes = min(workers, len(ordered))
    with worker_pool(processes, _KILLED, _prepare, (counts, recipe)) as pool:
        _run_pool(pool, ordered, workers, lambda: report(*counts))


def _run_pool(
    pool: ProcessPoolExecutor, shards: list[Shard], workers: int, show: Callable[[], None]
) -> None:
    waiting = iter(shards)
    pending: set[Future[None]] = set()
    while True:
        with one_thread_each():  # submitting starts the processes
            while len(pending) < _AHEAD * workers and (shard := next(waiting, None)) is not None:
                pending.add(pool.submit(_work, shard))
        if not pending:
            return
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        show()
        for future in done:
            future.result()


_prepared: "tuple[SynchronizedArray[int], Recipe] | None" = None


def _prepare(counts: "SynchronizedArray[int]", recipe: Recipe) -> None:
    """Tell a worker, once, where to count and what all shards are made by."""
    global _prepared
    _prepared = counts, recipe


def _work(shard: Shard) -> None:
    assert _prepared is not None
    counts, recipe = _prepared

    def tick(rejected: bool) -> None:
        with counts.get_lock():
            counts[0] += 1
            counts[1] += rejected

    write_shard(shard, recipe, tick)


def _write_here(shards: Sequence[Shard], recipe: Recipe, report: Report) -> None:
    done = rejected = 0

    def tick(was_rejected: bool) -> None:
        nonlocal done, rejected
        done += 1
        rejected += was_rejected
        report(done, rejected)

    for shard in shards:
        write_shard(shard, recipe, tick)
