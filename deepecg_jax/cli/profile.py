"""``deepecg profile``: the typical spectrum of a site's ECGs, for filters of new ones."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.errors import UserError


def command(
    path: Annotated[
        Path,
        typer.Argument(help="A data set in plain millivolts: DATA_DIR/NAME, or with /VERSION."),
    ],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    sample: Annotated[int, typer.Option(min=1, help="At most so many ECGs of the train split.")] = (
        1000
    ),
    seed: Annotated[int, typer.Option(min=0, help="Draws the sample.")] = 0,
) -> None:
    """Fit the site profiles of a data set: powerline and baseline, for building and predicting."""
    from deepecg_jax.data.building.site_profiles import profile_of_dataset

    folder = path.resolve()
    if not folder.is_dir():
        raise UserError(f"{path} is not a folder; give DATA_DIR/NAME of a built data set.")
    version = None
    if (folder / "dataset_info.json").is_file():
        folder, version = folder.parent, folder.name
    profiles = profile_of_dataset(folder.parent, folder.name, version, sample, seed)
    profiles.save(out)
    table = Table("site", "ECGs", "powerline, Hz", "found in", "baseline cut-off, Hz")
    for profile in (profiles.overall, *profiles.sites.values()):
        lines = profile.powerline
        table.add_row(
            escape(profile.site) or "all",
            f"{profile.n_ecgs:,}",
            ", ".join(f"{hz:g}" for hz in lines) or "none",
            ", ".join(f"{profile.line_share[f'{hz:g}']:.0%}" for hz in lines),
            f"{profile.baseline:g}",
        )
    console.print(table)
    console.print(f"{out}", soft_wrap=True, highlight=False)
