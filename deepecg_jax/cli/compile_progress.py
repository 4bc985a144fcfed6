"""What a compiler is doing and for how long: a clock on a terminal, lines in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deepecg_jax.cli.console import err

LOG_SECONDS = 30.0


@contextmanager
def compile_progress(what: str) -> Iterator[None]:
    """Show ``what`` and the seconds since it began, until it is done; at the end one line stays."""
    start = time.monotonic()
    if err.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            bar.add_task(what, total=None)
            yield
    else:
        _say(f"{what} ...")
        done = threading.Event()
        ticking = threading.Thread(target=_tick, args=(what, start, done), daemon=True)
        ticking.start()
        try:
            yield
        finally:
            done.set()
            ticking.join()
    _say(f"{what}: {time.monotonic() - start:.0f} s")


def _tick(what: str, start: float, done: threading.Event) -> None:
    while not done.wait(LOG_SECONDS):
        _say(f"{what}: {time.monotonic() - start:.0f} s so far")


def _say(text: str) -> None:
    err.print(text, markup=False, highlight=False, soft_wrap=True)
