"""The order of jobs: what is ready starts, so many at a time, until nothing is left."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.sweep.work.launchers import Handle, Launcher

_POLL_SECONDS = 0.05


class Watcher(Protocol):
    """Who is told what happens."""

    def started(self, name: str) -> None:
        """A job began."""
        ...

    def ended(self, name: str, reason: str | None) -> None:
        """A job is finished, or failed for a reason."""
        ...


@dataclass
class _Running:
    handle: Handle
    place: int
    log_from: int


@dataclass
class Schedule:
    """Runs the jobs of a plan that are not finished.

    Attributes:
        plan: whose jobs.
        launcher: starts them.
        inline: does a job that has no commands, in this process.
        watcher: is told.
        at_once: how many may run at a time.
    """

    plan: Plan
    launcher: Launcher
    inline: Callable[[JobFolder], None]
    watcher: Watcher
    at_once: int = 1
    _running: dict[str, _Running] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Return when every job is finished or has failed.

        A job whose pretraining failed is not started.

        Raises:
            StoppedBySignal: on SIGTERM or SIGINT, after the jobs here have saved and ended. A
                second signal ends them at once.
        """
        waiting = [n for n in self.plan.jobs if not JobFolder.of(self.plan, n).finished()]
        unfinished = set(waiting)
        with _signals() as received:
            try:
                while (waiting or self._running) and not received:
                    unfinished.difference_update(self._ended())
                    self._start(waiting, unfinished)
                    time.sleep(_POLL_SECONDS)
            except BaseException:
                self._kill()
                raise
            if received:
                self._stop(received)
                elsewhere = 0 if self.launcher.ends_with_sweep else len(self._running)
                raise StoppedBySignal(
                    f"stopped by {received[0]}; {len(unfinished)} of {len(self.plan.jobs)} jobs "
                    "are not finished, and the same command goes on"
                    + (f" ({elsewhere} stay in the queue or at work)." if elsewhere else ".")
                )

    def _start(self, waiting: list[str], unfinished: set[str]) -> None:
        for name in list(waiting):
            needs = self.plan.jobs[name].needs
            if needs in self._failed:
                self._failed.add(name)
                waiting.remove(name)
            elif needs not in unfinished and len(self._running) < self.at_once:
                waiting.remove(name)
                self._begin(name, unfinished)

    def _begin(self, name: str, unfinished: set[str]) -> None:
        folder = JobFolder.of(self.plan, name)
        folder.prepare()
        self.watcher.started(name)
        if not folder.commands():
            reason = None
            try:
                self.inline(folder)
                unfinished.discard(name)
            except UserError as error:
                reason = str(error)
            self._close(folder, reason)
            return
        used = {running.place for running in self._running.values()}
        place = next(i for i in range(self.at_once) if i not in used)
        size = folder.log_size()
        self._running[name] = _Running(self.launcher.start(folder, place), place, size)

    def _ended(self) -> Iterator[str]:
        """Names of the jobs that ended since the last look; those that are finished."""
        for name, running in list(self._running.items()):
            code = running.handle.poll()
            if code is None:
                continue
            del self._running[name]
            folder = JobFolder.of(self.plan, name)
            reason = None
            if code != 0:
                reason = folder.reason(code, running.log_from)
            elif not folder.finished():
                reason = f"ended without its result; see {folder.log}"
            self._close(folder, reason)
            if reason is None:
                yield name

    def _close(self, folder: JobFolder, reason: str | None) -> None:
        if reason is not None:
            folder.fail(reason)
            self._failed.add(folder.job.name)
        self.watcher.ended(folder.job.name, reason)

    def _stop(self, received: list[str]) -> None:
        if not self.launcher.ends_with_sweep:
            return
        for running in self._running.values():
            running.handle.stop()
        while any(running.handle.poll() is None for running in self._running.values()):
            if len(received) > 1:
                self._kill()
            time.sleep(_POLL_SECONDS)

    def _kill(self) -> None:
        if self.launcher.ends_with_sweep:
            for running in self._running.values():
                running.handle.kill()


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Gives a list to which the name of every SIGTERM and SIGINT is added."""
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield received
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
