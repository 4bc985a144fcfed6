"""Shards in parallel: each is written by one process, which holds one ECG at a time.

TFDS' own writer is not used: it writes in one process, and needs TensorFlow beyond 1 GB.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from typing import Any

from deepecg_jax.data.staging.shard import ShardTask
from deepecg_jax.data.staging.writing import write_shard
from deepecg_jax.data.workers import one_thread_each, start_server, worker_context
from deepecg_jax.errors import UserError

Report = Callable[[int, int], None]
"""Called with the number of records done and of those rejected, since the start."""

_AHEAD = 2  # tasks waiting for each worker: a task is half a megabyte on its way to a process


def run_tasks(tasks: Sequence[ShardTask], workers: int, report: Report) -> None:
    """Write the shards of all tasks.

    Raises:
        UserError: a worker process was killed (out of memory, or a crash inside a library).
    """
    # The largest first, so that no long task is left for the end.
    ordered = sorted(tasks, key=lambda task: (-len(task.records), task.split, task.number))
    if workers <= 1 or len(ordered) <= 1:
        _run_here(ordered, report)
        return
    start_server()
    context = worker_context()
    counts = context.Array("q", 2)
    pool = ProcessPoolExecutor(
        min(workers, len(ordered)), context, initializer=_start_worker, initargs=(counts,)
    )
    finished = False
    try:
        _run_pool(pool, ordered, workers, lambda: report(*counts))
        finished = True
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process was killed, most likely for lack of memory; build again with fewer "
            "--workers, or with --workers 1 to see the file at which it happens. Finished shards "
            "are kept."
        ) from error
    finally:
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:  # after an interrupt nobody must go on writing
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()


def _run_pool(
    pool: ProcessPoolExecutor, tasks: list[ShardTask], workers: int, show: Callable[[], None]
) -> None:
    waiting = iter(tasks)
    pending: set[Future[None]] = set()
    while True:
        with one_thread_each():  # submitting starts the processes
            while len(pending) < _AHEAD * workers and (task := next(waiting, None)) is not None:
                pending.add(pool.submit(_work, task))
        if not pending:
            return
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        show()
        for future in done:
            future.result()


_counts: Any = None


def _start_worker(counts: Any) -> None:
    """Set up a worker: the parent handles signals, and a worker ends when its parent is gone."""
    global _counts
    _counts = counts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would otherwise wait for ever for its next task."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: ShardTask) -> None:
    def tick(rejected: bool) -> None:
        with _counts.get_lock():
            _counts[0] += 1
            _counts[1] += rejected

    write_shard(task, tick)


def _run_here(tasks: Sequence[ShardTask], report: Report) -> None:
    done = rejected = 0

    def tick(was_rejected: bool) -> None:
        nonlocal done, rejected
        done += 1
        rejected += was_rejected
        report(done, rejected)

    for task in tasks:
        write_shard(task, tick)
