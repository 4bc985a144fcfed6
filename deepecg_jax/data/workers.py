"""Worker processes: forked by a server that imported what all of them need, never left alone.

The server's imports take seconds, so it is started before the work is known: the parent imports and
plans meanwhile. Fork alone is unsafe once JAX or gRPC threads run.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.context import ForkServerContext
from typing import Any

from deepecg_jax.errors import UserError

_IMPORTS = "deepecg_jax.data.building.worker_imports"
# Each worker fills one core; BLAS threads of several workers would only wait for one another.
_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def worker_context() -> ForkServerContext:
    """The context to start workers with."""
    return get_context("forkserver")


def start_server(also_import: Sequence[str] = (), needs: str = _IMPORTS) -> None:
    """Start the server unless it runs; returns at once.

    also_import: modules that the parent's main module imports, which every worker does as well.
    needs: the module that imports what workers need; by default those that build.
    """
    worker_context().set_forkserver_preload([*also_import, needs])
    with one_thread_each(), _not_interrupted():
        forkserver.ensure_running()


@contextmanager
def worker_pool(
    processes: int,
    if_killed: str,
    prepare: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[ProcessPoolExecutor]:
    """A pool of worker processes that ends with its block, and with this process.

    A worker ignores Ctrl-C, which the parent answers for all, and ends when its parent is gone,
    even by SIGKILL. When the block ends by an exception, workers are stopped in what they do.

    Args:
        processes: at most so many.
        if_killed: what to tell people when a worker was killed.
        prepare: called with ``arguments`` in each worker before its first task.
        arguments: of ``prepare``, pickled once a worker.

    Raises:
        UserError: with the sentence ``if_killed``.
    """
    start_server()
    pool = ProcessPoolExecutor(
        processes, worker_context(), initializer=_start_worker, initargs=(prepare, arguments)
    )
    finished = False
    try:
        yield pool
        finished = True
    except BrokenProcessPool as error:
        raise UserError(if_killed) from error
    finally:
        workers = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:  # after an interrupt nobody must go on working
            for worker in workers:
                worker.kill()  # one that reads for a training ignores SIGTERM
            for worker in workers:
                worker.join()


def _start_worker(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    """A worker whose parent was killed would otherwise wait for ever for its next task."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started inside inherit the limits, which libraries read when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update({name: "1" for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name in (name for name, value in before.items() if value is None):
            del os.environ[name]


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which the parent answers for all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
