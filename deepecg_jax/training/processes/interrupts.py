"""SIGTERM and SIGINT end a run after it has saved."""

import logging
import os
import signal
from contextlib import ExitStack
from types import FrameType

import jax
from orbax.checkpoint import multihost


class StopRequest:
    """Context manager that turns the first SIGTERM or SIGINT into a flag.

    With several processes JAX's preemption service has the handler of SIGTERM: it tells the other
    processes, and all stop at the same step. SIGINT is handed on to it.
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._restored = ExitStack()

    def __enter__(self) -> "StopRequest":
        alone = jax.process_count() == 1
        if not alone:
            logging.getLogger("absl").addFilter(_not_about_preemption)
        for number in (signal.SIGTERM, signal.SIGINT) if alone else (signal.SIGINT,):
            previous = signal.signal(number, self._handle)
            self._restored.callback(signal.signal, number, previous)
        return self

    def __exit__(self, *_: object) -> None:
        self._restored.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)
        # a second signal acts as usual: the user wants out now
        signal.signal(number, signal.SIG_DFL)

    def received(self, step: int) -> str | None:
        """Name of the signal; several processes agree on the same step, whoever got it."""
        if jax.process_count() > 1:
            return (
                "a signal to one of the processes" if multihost.reached_preemption(step) else None
            )
        return self._name


def _not_about_preemption(record: logging.LogRecord) -> bool:
    """Orbax warns of it in every process and thread; the sentence at the end says it once."""
    return "preemption sync point" not in record.getMessage()
