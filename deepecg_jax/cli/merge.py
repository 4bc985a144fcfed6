"""``deepecg merge``: parts of a data set, built on several machines, into the whole."""

from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.build import say, say_totals
from deepecg_jax.cli.summary_table import print_summary


def command(
    target: Annotated[Path, typer.Argument(help="DATA_DIR/NAME; the data set is made below it.")],
    parts: Annotated[
        list[Path], typer.Argument(help="Folders of all parts (of deepecg build --part K/N).")
    ],
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Merge the parts of a data set: the same bytes as if it had been built at once.

    The parts stay as they are, and may be removed afterwards.
    """
    from deepecg_jax.data.building.machines import merge

    built = merge(target, parts, overwrite)
    if built.reused:
        say(f"{built.folder} is already there; nothing to do (--overwrite makes it again).")
        return
    print_summary(built.summary, built.folder, brief=True)
    say_totals(built.summary)
