"""``deepecg build``: a source's files into a data set of standardised shards."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deepecg_jax.cli.console import console, err
from deepecg_jax.cli.summary_table import print_summary
from deepecg_jax.errors import StoppedBySignal, UserError

_LOG_SECONDS = 30.0


def command(
    name: Annotated[str, typer.Argument(help="Builder, such as ptb_xl, mimic_iv_ecg, table.")],
    data_dir: Annotated[Path, typer.Option(help="Folder of data sets; made if absent.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with the files (table: or its table)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes [default: one a processor].", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many ECGs.", min=1)] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="key=value of the builder; may be given repeatedly.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Build again what exists.")] = False,
) -> None:
    """Build a data set: read, check and standardise every ECG, and write shards."""
    from deepecg_jax.data.build import build

    options = parse_options(option or [])
    with _interruptible() as check, _progress() as show:

        def on_progress(done: int, total: int) -> None:
            check()
            show(done, total)

        built = build(
            name,
            data_dir,
            source,
            workers=workers or _processors(),
            limit=limit,
            options=options,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if built.reused:
        console.print(
            f"{built.folder} is already built; nothing to do (--overwrite builds it again).",
            soft_wrap=True,
        )
    else:
        print_summary(built.summary, built.folder, brief=True)


def parse_options(texts: list[str]) -> dict[str, str]:
    """``["rate=500"]`` -> ``{"rate": "500"}``; UserError for anything else or a key given twice."""
    options: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--option {text!r} must be key=value.")
        if key in options:
            raise UserError(f"--option {key} is given twice.")
        options[key] = value
    return options


def _processors() -> int:
    """Processors this process may use, which in a container is less than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar with ECG/s and time left; in a log file a line every half minute instead."""
    if not err.is_terminal:
        yield _log_lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("building", total=None, rate="")

        def show(done: int, total: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:,.0f} ECG/s" if done and elapsed > 0.5 else ""
            bar.update(task, completed=done, total=total, rate=rate)

        yield show


def _log_lines() -> Callable[[int, int], None]:
    started = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done and now - last >= _LOG_SECONDS:
            last, rate = now, done / (now - started)
            left = (total - done) / rate
            err.print(f"{done:,} of {total:,} ECGs, {rate:,.0f} ECG/s, {left:,.0f} s left")

    return show


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM end the build tidily: no half-written data set stays visible.

    Gives a function to call now and then: an exception raised by a signal handler is lost when
    the signal arrives inside a finalizer, so the wish to stop is also remembered.
    """
    wanted = False

    def stop(signum: int, frame: object) -> None:
        nonlocal wanted
        wanted = True
        raise KeyboardInterrupt

    def check() -> None:
        if wanted:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    except KeyboardInterrupt as error:
        raise StoppedBySignal(
            "The build was stopped; nothing of it was kept. The same command starts it again."
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
