"""The server that forks worker processes: it imports once what all of them need.

Its imports take seconds, so it is started before the work is known: the parent imports and plans
meanwhile. Fork alone is unsafe once JAX or gRPC threads run.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext

_IMPORTS = "deepecg_jax.data.building.worker_imports"
# Each worker fills one core; BLAS threads of several workers would only wait for one another.
_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def worker_context() -> ForkServerContext:
    """The context to start workers with."""
    return get_context("forkserver")


def start_server(also_import: Sequence[str] = ()) -> None:
    """Start the server unless it runs; returns at once.

    also_import: modules that the parent's main module imports, which every worker does as well.
    """
    worker_context().set_forkserver_preload([*also_import, _IMPORTS])
    with one_thread_each(), _not_interrupted():
        forkserver.ensure_running()


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
