"""``deepecg embed``: a bundle and ECGs to a table of one vector an ECG."""

from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli import ecgs
from deepecg_jax.cli.console import console
from deepecg_jax.speed import per_second


def command(
    bundle: Annotated[
        Path, typer.Argument(help="An encoder's or a classifier's bundle, or a finished run.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The table to write, .parquet or .csv.")],
    data_dir: ecgs.DataDir = None,
    dataset: ecgs.Dataset = None,
    split: ecgs.SplitName = "test",
    records: ecgs.Records = None,
    more: ecgs.MoreRecords = None,
    readout: Annotated[
        str,
        typer.Option(
            help="What the vector is: mean of the tokens; mean_max, mean and maximum; mean_local "
            "and mean_max_local, the same of the tokens and of the features before any context; "
            "summary, the encoder's own (a CLS token)."
        ),
    ] = "mean",
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="With --dataset, labels of the data set to write beside the vectors, such as "
            "'superclass:*'; repeatable."
        ),
    ] = None,
    convert: ecgs.Convert = False,
    where: ecgs.Where = None,
    site_profile: ecgs.SiteProfile = None,
    batch_size: ecgs.BatchSize = 64,
) -> None:
    """Write one vector an ECG of a split of a data set, or of recording files.

    A row an ECG: record_id, patient_id, age, sex, site, device, labels asked for (label:NAME), and
    the vector in embedding:000, embedding:001, ...; for scikit-learn, R or a spreadsheet. A
    recording of several windows has the mean of their vectors.
    """
    from deepecg_jax.bundle import bundle as bundles
    from deepecg_jax.bundle.embed import embed_records, embed_split
    from deepecg_jax.data.shards.split import open_split
    from deepecg_jax.data.tables.write import check_suffix, write_table
    from deepecg_jax.errors import UserError
    from deepecg_jax.signals.standard import site_profile as site_profiles

    files = ecgs.all_records(records, more)
    place = ecgs.checked_source("embed", files, data_dir, dataset, split, where or (), site_profile)
    if label and place is None:
        raise UserError("--label goes with --dataset: recording files have no labels.")
    check_suffix(out)
    loaded = bundles.load(bundle)
    if place is None:
        profiles = site_profiles.load(site_profile) if site_profile else None
        embedded = embed_records(loaded, files, readout, batch_size, profiles)
        for name, reason in embedded.left_out:
            console.print(f"[yellow]left out {name}: {reason}[/yellow]")
    else:
        embedded = embed_split(
            loaded, open_split(*place), readout, label or (), batch_size, convert, where or ()
        )
        console.print(per_second(embedded.table.num_rows / embedded.seconds, "ECG"))
    write_table(embedded.table, out)
    console.print(
        f"{embedded.table.num_rows:,} ECGs x {embedded.width} numbers ({readout}) written to {out}"
    )
