"""An error in one of several processes ends them all, with one sentence.

The others usually wait inside a collective operation for the one that failed, where no Python runs:
only a thread beside can end them.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypedDict

import jax

from deepecg_jax.training.processes.hosts import coordination_client

Explain = Callable[[BaseException], tuple[str, int]]
_POLL_SECONDS = 1.0
# how long a process waits for others to say the same, or something more telling, than itself
_PATIENCE_SECONDS = 5.0
_FAILED, _LEFT = "deepecg/failed/", "deepecg/left/"
# what a collective says when its peer is gone
_LOST = (
    "gloo",
    "connection closed by peer",
    "connection reset",
    "socket closed",
    "nccl",
    "unavailable:",
)


class _Failure(TypedDict):
    """What a process says of its end: a sentence, its exit code, and where it ran."""

    text: str
    code: int
    host: str


@contextlib.contextmanager
def shared_fate(explain: Explain) -> Iterator[None]:
    """Any exception in the block ends all processes, and is not raised.

    explain: an exception to what is printed, and the exit code. Process 0 prints what happened,
    whoever it happened to; another process prints its own failure unless process 0 has the same.
    """
    watch = _Watch()
    watch.start()
    try:
        yield
    except BaseException as error:
        watch.stop()
        _end(*_cause(error, explain))
    watch.stop()


class _Watch(threading.Thread):
    """Ends this process when another has failed."""

    def __init__(self) -> None:
        super().__init__(name="deepecg-failures", daemon=True)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            failures = _failures()
            if failures and not self._over.wait(_PATIENCE_SECONDS):
                # the main thread did not fail by itself: it waits for the one that did
                number, failure = min(failures.items())
                _end(_told(number, failure), failure["code"])

    def stop(self) -> None:
        self._over.set()


def _cause(error: BaseException, explain: Explain) -> tuple[str | None, int]:
    """What this process prints about its own exception, and its exit code."""
    text, code = explain(error)
    own = jax.process_index()
    if any(word in str(error).lower() for word in _LOST):
        others = _wait_for(lambda found: any(number != own for number in found))
        for number, failure in sorted(others.items()):
            if number != own:
                return _told(number, failure), failure["code"]
        reason = str(error).splitlines()[0]
        text = (
            f"process {own} lost another process ({reason}); the output of the one that ended "
            "first says why, and the same command resumes from the last checkpoint."
        )
    _tell(text, code)
    if own:
        found = _wait_for(lambda found: 0 in found)
        if 0 in found and found[0]["text"] == text:
            return None, code
        text = f"error: process {own}: {text.removeprefix('error: ')}"
    return text, code


def _told(number: int, failure: _Failure) -> str:
    text = failure["text"].removeprefix("error: ")
    prefix = "error: " if jax.process_index() == 0 else "stopped, because of "
    return f"{prefix}process {number} on {failure['host']}: {text}"


def _tell(text: str, code: int) -> None:
    values = json.dumps({"text": text, "code": code, "host": socket.gethostname()})
    with contextlib.suppress(RuntimeError, ValueError):  # process 0 may be gone
        coordination_client().key_value_set(f"{_FAILED}{jax.process_index()}", values, True)


def _failures() -> dict[int, _Failure]:
    try:
        found = coordination_client().key_value_dir_get(_FAILED)
    except (RuntimeError, ValueError):  # process 0 is gone; the runtime ends this one
        return {}
    return {int(key.rpartition("/")[2]): json.loads(value) for key, value in found}


def _wait_for(enough: Callable[[dict[int, _Failure]], bool]) -> dict[int, _Failure]:
    end = time.monotonic() + _PATIENCE_SECONDS
    found = _failures()
    while not enough(found) and time.monotonic() < end:
        time.sleep(0.2)
        found = _failures()
    return found


def _end(text: str | None, code: int) -> None:
    """Print and end the process without waiting for threads that wait for others."""
    if text is not None:
        print(text, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    client, count = coordination_client(), jax.process_count()
    with contextlib.suppress(RuntimeError, ValueError):
        client.key_value_set(f"{_LEFT}{jax.process_index()}", "", True)
        # the coordination service lives in process 0 and must outlive the others' reading
        end = time.monotonic() + 3 * _PATIENCE_SECONDS
        while jax.process_index() == 0 and time.monotonic() < end:
            if len(client.key_value_dir_get(_LEFT)) == count:
                break
            time.sleep(0.2)
    os._exit(code)
