"""``deepecg predict``: a bundle and ECGs to a predictions table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepecg_jax.cli.console import console
from deepecg_jax.speed import per_second

if TYPE_CHECKING:
    from deepecg_jax.bundle.bundle import Bundle


def command(
    bundle: Annotated[Path, typer.Argument(help="A classifier bundle, or a finished run.")],
    *,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds the data set (with --dataset).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "test",
    records: Annotated[
        list[Path] | None,
        typer.Option(help="Recording files instead of a data set: --records FILE ..."),
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="", hidden=True, show_default=False)
    ] = None,
    convert: Annotated[
        bool,
        typer.Option(
            "--convert",
            help="Convert the data set's signals where the bundle expects others (rate, duration, "
            "z-score) instead of refusing them.",
        ),
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="With --dataset, only ECGs that fulfil this, such as 'noise < 0.1'; repeatable."
        ),
    ] = None,
    site_profile: Annotated[
        Path | None,
        typer.Option(
            help="With --records, for a model of filtered ECGs: site_profile.json of the site."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="ECGs computed at once.")] = 64,
) -> None:
    """Predict the findings of a split of a data set, or of recording files."""
    from deepecg_jax.bundle import bundle as bundles
    from deepecg_jax.bundle.predict import predict_records
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.table.predictions import write_predictions
    from deepecg_jax.signals.standard import site_profile as site_profiles

    if more and not records:
        raise UserError(f"{more[0]} is one argument too many; give recordings after --records.")
    records = [*(records or []), *(more or [])]
    if bool(records) == bool(data_dir or dataset):
        raise UserError(
            "deepecg predict needs either --data-dir and --dataset, or --records FILE, not both."
        )
    if not records and not (data_dir and dataset):
        raise UserError("--data-dir and --dataset go together; one of them is missing.")
    if where and records:
        raise UserError("--where goes with --dataset: the files given are predicted as they are.")
    if site_profile and not records:
        raise UserError("--site-profile goes with --records: shards are filtered when built.")
    loaded = bundles.load(bundle)
    if records:
        profiles = site_profiles.load(site_profile) if site_profile else None
        predicted = predict_records(loaded, records, batch_size, profiles)
        for place, reason in predicted.left_out:
            console.print(f"[yellow]left out {place}: {reason}[/yellow]")
        write_predictions(out, predicted.table)
        count = len(predicted.table)
    else:
        assert data_dir is not None and dataset is not None
        place = data_dir, dataset, split
        count = split_to_file(loaded, place, out, batch_size, convert, where or ())
    console.print(f"{count:,} ECGs x {len(loaded.labels)} labels written to {out}")


def split_to_file(
    bundle: "Bundle",
    place: tuple[Path, str, str],
    out: Path,
    batch_size: int = 64,
    convert: bool = False,
    where: Sequence[str] = (),
) -> int:
    """Predict a split (``place``: folder, data set, split) into a file, and say how it went.

    Returns the number of ECGs.
    """
    from deepecg_jax.bundle.predict import predict_split
    from deepecg_jax.data.shards.split import open_split
    from deepecg_jax.evaluation.table.predictions import write_predictions

    predicted = predict_split(bundle, open_split(*place), batch_size, convert, where)
    missing = predicted.unlabelled
    if missing:
        shown = f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        console.print(f"[yellow]{place[1]} has no labels for {shown}: left empty[/yellow]")
    write_predictions(out, predicted.table)
    console.print(per_second(len(predicted.table) / predicted.seconds, "ECG"))
    return len(predicted.table)
