"""SIGTERM and SIGINT end a run after it has saved."""

import signal
from types import FrameType

import jax
from orbax.checkpoint import multihost


class StopRequest:
    """Context manager that turns the first SIGTERM or SIGINT into a flag."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name
        # a second signal acts as usual: the user wants out now
        signal.signal(number, signal.SIG_DFL)

    def received(self, step: int) -> str | None:
        """Name of the signal; with several hosts all of them agree on the same step."""
        if jax.process_count() > 1:
            return "SIGTERM" if multihost.reached_preemption(step) else None
        return self._name
