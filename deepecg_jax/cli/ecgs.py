"""The options of commands that apply a bundle: ECGs of a data set, or recording files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.errors import UserError

DataDir = Annotated[
    Path | None, typer.Option(help="Folder that holds the data set (with --dataset).")
]
Dataset = Annotated[str | None, typer.Option(help="Name of the data set.")]
SplitName = Annotated[str, typer.Option(help="Split of the data set.")]
Records = Annotated[
    list[Path] | None,
    typer.Option(help="Recording files instead of a data set: --records FILE ..."),
]
MoreRecords = Annotated[
    list[Path] | None, typer.Argument(metavar="", hidden=True, show_default=False)
]
Convert = Annotated[
    bool,
    typer.Option(
        "--convert",
        help="Convert the data set's signals where the bundle expects others (rate, duration, "
        "z-score) instead of refusing them.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="With --dataset, only ECGs that fulfil this, such as 'noise < 0.1' or, with a label "
        "that is present, 'any form:*'; repeatable."
    ),
]
SiteProfile = Annotated[
    Path | None,
    typer.Option(
        help="With --records, for a model of filtered ECGs: site_profile.json of the site."
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="ECGs computed at once.")]


def checked_source(
    command: str,
    records: Sequence[Path],
    data_dir: Path | None,
    dataset: str | None,
    split: str,
    where: Sequence[str],
    site_profile: Path | None,
) -> tuple[Path, str, str] | None:
    """Folder, name and split of the data set, or None where recording files are given.

    Raises:
        UserError: neither or both are given, or an option that goes with the other.
    """
    if bool(records) == bool(data_dir or dataset):
        raise UserError(
            f"deepecg {command} needs either --data-dir and --dataset, or --records FILE, not both."
        )
    if where and records:
        raise UserError("--where goes with --dataset: the files given are taken as they are.")
    if records:
        return None
    if data_dir is None or dataset is None:
        raise UserError("--data-dir and --dataset go together; one of them is missing.")
    if site_profile:
        raise UserError("--site-profile goes with --records: shards are filtered when built.")
    return data_dir, dataset, split


def all_records(records: Sequence[Path] | None, more: Sequence[Path] | None) -> list[Path]:
    """The files after ``--records``, of which a shell's * gives several; UserError for a stray
    argument.
    """
    if more and not records:
        raise UserError(f"{more[0]} is one argument too many; give recordings after --records.")
    return [*(records or []), *(more or [])]
