"""The next batches, on the devices before a step asks for them."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from deepecg_jax.training.types import Batch, HostBatch

_AHEAD = 2  # batches on the devices beside that of the running step
_Item = Batch | BaseException


class Feed:
    """Host batches sent to the devices by a thread while steps run.

    Whatever the batches raise, even KeyboardInterrupt, is raised where the batch that is missing is
    asked for; those before it come first.

    Args:
        batches: of this process; closed, if it can be, when the block ends.
        put: sends a batch to the devices.
    """

    def __init__(self, batches: Iterator[HostBatch], put: Callable[[HostBatch], Batch]):
        self._batches, self._put = batches, put
        self._ready: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deepecg-feed", daemon=True)

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._room.release()
        self._thread.join()

    def next(self, running: Any) -> tuple[Batch, float]:
        """The next batch, and the seconds in which the devices had nothing to do but wait for it.

        running: what the last step gives, which may not be computed yet. If no batch is there, the
            clock starts when it is: until then the devices are busy.
        """
        waited = 0.0
        try:
            item = self._ready.get_nowait()
        except queue.Empty:
            jax.block_until_ready(running)
            before = time.perf_counter()
            item = self._ready.get()
            waited = time.perf_counter() - before
        if isinstance(item, BaseException):
            raise item
        self._room.release()
        return item, waited

    def _run(self) -> None:
        try:
            while True:
                self._room.acquire()
                if self._over.is_set():
                    break
                batch = self._put(next(self._batches))
                # a batch counts as there when it has arrived, not when it is on its way
                self._ready.put(jax.block_until_ready(batch))
        except BaseException as error:  # the main thread raises it
            self._ready.put(error)
        finally:
            close = getattr(self._batches, "close", None)
            if close is not None:
                close()
