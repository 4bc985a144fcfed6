"""``deepecg predict``: a bundle and ECGs to a predictions table."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepecg_jax.cli import ecgs
from deepecg_jax.cli.console import console
from deepecg_jax.speed import per_second

if TYPE_CHECKING:
    from deepecg_jax.bundle.bundle import Bundle
    from deepecg_jax.data.loading.protocol import EvaluationProtocol


class Aggregate(StrEnum):
    """How the scores of an ECG's crops become one."""

    mean_probability = "mean_probability"
    mean_logit = "mean_logit"
    max = "max"


def command(
    bundle: Annotated[Path, typer.Argument(help="A classifier bundle, or a finished run.")],
    *,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    data_dir: ecgs.DataDir = None,
    dataset: ecgs.Dataset = None,
    split: ecgs.SplitName = "test",
    records: ecgs.Records = None,
    more: ecgs.MoreRecords = None,
    convert: ecgs.Convert = False,
    where: ecgs.Where = None,
    site_profile: ecgs.SiteProfile = None,
    crop_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Predict crops of this length, s, and join them; 0: whole ECGs. The default is "
            "what the bundle was validated with.",
        ),
    ] = None,
    crop_stride_seconds: Annotated[
        float | None,
        typer.Option(
            help="From one crop to the next, s. Crops that reach into padding are left out. With "
            "--crop-seconds alone crops do not overlap."
        ),
    ] = None,
    aggregate: Annotated[
        Aggregate | None,
        typer.Option(
            help="How the crops of an ECG become one score a label: their mean probability, the "
            "probability of their mean logit, or their largest probability. The default is the "
            "bundle's."
        ),
    ] = None,
    batch_size: ecgs.BatchSize = 64,
) -> None:
    """Predict the findings of a split of a data set, or of recording files.

    Thresholds belong to a protocol: a bundle is predicted by the crops and the aggregation that its
    fine-tuning validated with (`evaluation` in its config), unless they are given here.
    """
    from deepecg_jax.bundle import bundle as bundles
    from deepecg_jax.bundle.predict import predict_records
    from deepecg_jax.data.loading.protocol import overridden
    from deepecg_jax.evaluation.table.predictions import write_predictions
    from deepecg_jax.signals.standard import site_profile as site_profiles

    files = ecgs.all_records(records, more)
    place = ecgs.checked_source(
        "predict", files, data_dir, dataset, split, where or (), site_profile
    )
    loaded = bundles.load(bundle)
    how = None if aggregate is None else aggregate.value
    protocol = overridden(loaded.protocol, crop_seconds, crop_stride_seconds, how)
    say_protocol(loaded, protocol)
    if place is None:
        profiles = site_profiles.load(site_profile) if site_profile else None
        predicted = predict_records(loaded, files, batch_size, profiles, protocol)
        for name, reason in predicted.left_out:
            console.print(f"[yellow]left out {name}: {reason}[/yellow]")
        write_predictions(out, predicted.table)
        count = len(predicted.table)
    else:
        count = split_to_file(loaded, place, out, batch_size, convert, where or (), protocol)
    console.print(f"{count:,} ECGs x {len(loaded.labels)} labels written to {out}")


def say_protocol(bundle: "Bundle", protocol: "EvaluationProtocol") -> None:
    """Where ECGs are not simply predicted whole, say how, and whether thresholds fit that."""
    if protocol != bundle.protocol:
        console.print(
            f"{protocol.in_words}; [yellow]the bundle's thresholds were fitted on "
            f"{bundle.protocol.in_words}[/yellow]"
        )
    elif protocol.crop_seconds is not None:
        console.print(f"{protocol.in_words}, as the bundle was validated")


def split_to_file(
    bundle: "Bundle",
    place: tuple[Path, str, str],
    out: Path,
    batch_size: int = 64,
    convert: bool = False,
    where: Sequence[str] = (),
    protocol: "EvaluationProtocol | None" = None,
) -> int:
    """Predict a split (``place``: folder, data set, split) into a file, and say how it went.

    Returns the number of ECGs.
    """
    from deepecg_jax.bundle.predict import predict_split
    from deepecg_jax.data.shards.split import open_split
    from deepecg_jax.evaluation.table.predictions import write_predictions

    predicted = predict_split(bundle, open_split(*place), batch_size, convert, where, protocol)
    missing = predicted.unlabelled
    if missing:
        shown = f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        console.print(f"[yellow]{place[1]} has no labels for {shown}: left empty[/yellow]")
    write_predictions(out, predicted.table)
    console.print(per_second(len(predicted.table) / predicted.seconds, "ECG"))
    return len(predicted.table)
