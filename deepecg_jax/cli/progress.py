"""How far a build is: a bar on a terminal, a line every half minute in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from deepecg_jax.cli.console import err
from deepecg_jax.speed import duration, per_second

if TYPE_CHECKING:
    from deepecg_jax.data.staging.run import Progress

Show = Callable[["Progress"], None]
LOG_SECONDS = 30.0
_STEADY_SECONDS = 2.0  # before this, a rate says more about starting than about working


class Rate:
    """Recordings a second since the first report, and from it the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()

    def words(self, now: "Progress") -> str:
        """Such as ``412 files/s, 31 rejected, 12 min left``."""
        seconds, new = self._clock() - self._started, now.done - now.earlier
        parts = []
        if new and seconds > _STEADY_SECONDS:
            parts.append(per_second(new / seconds, "files"))
        if now.rejected:
            parts.append(f"{now.rejected:,} rejected")
        if new and seconds > _STEADY_SECONDS:
            parts.append(f"{duration((now.total - now.done) * seconds / new)} left")
        return ", ".join(parts)


@contextmanager
def shown_progress() -> Iterator[Show]:
    """A function to call with how far the build is, as often as one likes."""
    if not err.is_terminal:
        yield log_lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("planning", total=None, words="")
        rate: Rate | None = None

        def show(now: "Progress") -> None:
            nonlocal rate
            rate = rate or Rate()
            words = rate.words(now)
            bar.update(
                task, description="building", completed=now.done, total=now.total, words=words
            )

        yield show


def log_lines(clock: Callable[[], float] = time.monotonic) -> Show:
    """Writes a line now and then, for logs."""
    rate: Rate | None = None
    last = clock()

    def show(now: "Progress") -> None:
        nonlocal rate, last
        rate = rate or Rate(clock)
        if clock() - last >= LOG_SECONDS:
            last = clock()
            err.print(
                f"{now.done:,} of {now.total:,} files, {rate.words(now)}",
                soft_wrap=True,
                highlight=False,
            )

    return show
