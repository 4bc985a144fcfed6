"""A line for every job that starts or ends, with its score and the time that is left."""

import time
from dataclasses import dataclass, field

from rich.console import Console

from deepecg_jax.speed import duration
from deepecg_jax.sweep.results.gather import Gatherer
from deepecg_jax.sweep.results.write import write_sweep
from deepecg_jax.sweep.work.estimate import time_left
from deepecg_jax.sweep.work.job_folder import JobFolder


@dataclass
class Progress:
    """Prints what happens, and writes the tables whenever a job has ended.

    Attributes:
        gatherer: reads scores.
        console: where lines go.
        at_once: jobs at a time, for the time left.
        left: names of the jobs that are not finished, in their order.
    """

    gatherer: Gatherer
    console: Console
    at_once: int
    left: list[str]
    running: dict[str, float] = field(default_factory=dict)

    def started(self, name: str) -> None:
        """See `work.schedule.Watcher`."""
        self.running[name] = time.monotonic()
        n = len(self.gatherer.plan.jobs)
        self._print(f"{n - len(self.left) + len(self.running)}/{n} {name}")

    def ended(self, name: str, reason: str | None) -> None:
        """See `work.schedule.Watcher`."""
        seconds = time.monotonic() - self.running.pop(name)
        self.left.remove(name)
        if reason is not None:
            self._print(f"  {name} failed: {reason}", "yellow")
        else:
            found = self.gatherer.read(name)
            score = "" if found is None else f", macro AUROC {found.macro[0]:.3f}"
            self._print(f"  {name} finished in {duration(seconds)}{score}{self._time_left()}")
        write_sweep(self.gatherer.plan, self.gatherer.gather(self.running))

    def _time_left(self) -> str:
        plan = self.gatherer.plan
        words = time_left(plan, [JobFolder.of(plan, name) for name in self.left], self.at_once)
        return f"; {words}" if words else ""

    def _print(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
