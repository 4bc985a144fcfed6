"""``deepecg build``: a source's files into a data set of standardised shards."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from deepecg_jax.cli.console import console
from deepecg_jax.cli.progress import duration, shown_progress
from deepecg_jax.cli.summary_table import print_summary
from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.speed import per_second

if TYPE_CHECKING:
    from deepecg_jax.data.building.machines import BuiltPart, Part
    from deepecg_jax.data.staging.run import Progress
    from deepecg_jax.data.staging.summary import Summary


def command(
    name: Annotated[str, typer.Argument(help="Builder, such as ptb_xl, mimic_iv_ecg, table.")],
    data_dir: Annotated[Path, typer.Option(help="Folder of data sets; made if absent.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with the files (table: or its table)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes (default: one a processor).", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many ECGs.", min=1)] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="key=value of the builder, as data_builders/NAME/README.md says; may be repeated."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Build again what exists.")] = False,
    restart: Annotated[
        bool, typer.Option(help="Begin anew instead of going on with a stopped build.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(help="Only part K of N, as K/N; deepecg merge puts all parts together."),
    ] = None,
    beam: Annotated[
        bool, typer.Option(help="Write the shards by Apache Beam instead of --workers.")
    ] = False,
    beam_option: Annotated[
        list[str] | None,
        typer.Option(help="key=value for Beam, such as runner=DataflowRunner; may be repeated."),
    ] = None,
) -> None:
    """Build a data set: read, check and standardise every ECG, and write shards.

    A build that was stopped, even by force, keeps its finished shards; the same command goes on.
    """
    from deepecg_jax.data.workers import start_server

    workers = workers or _processors()
    if workers > 1 and not beam:
        start_server(also_import=["deepecg_jax.cli.main"])

    from deepecg_jax.data.building.build import build
    from deepecg_jax.data.building.machines import build_part, parse_part
    from deepecg_jax.data.staging.run import Manner

    if beam_option and not beam:
        raise UserError("--beam-option is given without --beam.")
    options = parse_options(option or [])
    beam_options = parse_options(beam_option or [], "--beam-option") if beam else None
    chosen = parse_part(part) if part is not None else None
    with _interruptible(data_dir / name, chosen) as check, shown_progress() as show:

        def on_progress(now: "Progress") -> None:
            check()
            show(now)

        manner = Manner(workers, beam_options, restart, on_progress, say)
        if chosen is None:
            built = build(
                name,
                data_dir,
                source,
                limit=limit,
                options=options,
                overwrite=overwrite,
                manner=manner,
            )
        else:
            piece = build_part(
                chosen,
                name,
                data_dir,
                source,
                limit=limit,
                options=options,
                overwrite=overwrite,
                manner=manner,
            )
            _say_part(piece)
            return
    if built.reused:
        say(f"{built.folder} is already built; nothing to do (--overwrite builds it again).")
    else:
        print_summary(built.summary, built.folder, brief=True)
        say_totals(built.summary)


def say(sentence: str) -> None:
    """Print a sentence as it is."""
    console.print(escape(sentence), soft_wrap=True, highlight=False)


def say_totals(summary: "Summary") -> None:
    """The last line of a build."""
    speed = f", {per_second(summary['ecg_per_s'], 'ECG')}" if summary["ecg_per_s"] else ""
    say(
        f"{summary['records']:,} ECGs in {len(summary['files'])} shards, "
        f"{summary['rejects']['total']:,} rejected, {duration(summary['seconds'])}{speed}."
    )


def _say_part(piece: "BuiltPart") -> None:
    """The last line of a part."""
    if piece.reused:
        say(f"Part {piece.part} is already built in {piece.folder}; nothing to do.")
        return
    say(
        f"Part {piece.part}: {piece.records:,} ECGs in {piece.shards} shards, {piece.rejected:,} "
        f"rejected, {duration(piece.seconds)}, in {piece.folder}. When all parts are there: "
        f"deepecg merge {piece.folder.parent} PART_FOLDER ..."
    )


def parse_options(texts: list[str], flag: str = "--option") -> dict[str, str]:
    """``["rate=500"]`` -> ``{"rate": "500"}``; UserError for anything else or a key given twice."""
    options: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{flag} {text!r} must be key=value.")
        if key in options:
            raise UserError(f"{flag} {key} is given twice.")
        options[key] = value
    return options


def _processors() -> int:
    """Processors this process may use, which in a container is less than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


@contextmanager
def _interruptible(folder: Path, part: "Part | None") -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM end the build tidily: its finished shards are kept, nothing else.

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
        raise StoppedBySignal(_stopped(folder, part)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped(folder: Path, part: "Part | None") -> str:
    from deepecg_jax.data.staging.build_state import STAGING_PREFIX, count_finished

    if part is None:
        counts = [count_finished(staging) for staging in folder.glob(f"{STAGING_PREFIX}*")]
    else:
        counts = [count_finished(part.folder(folder.parent, folder.name), part.has)]
    done, total = max(counts, default=(0, 0))
    if not done:
        return (
            "The build was stopped before a shard was finished; the same command starts it again."
        )
    return (
        f"The build was stopped; {done} of {total} shards are finished and kept, and the same "
        "command goes on from there."
    )
