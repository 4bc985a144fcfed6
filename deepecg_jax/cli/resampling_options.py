"""The options of the commands that resample: evaluate, compare, sites, survival and privacy."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deepecg_jax.evaluation.resampling.resampling import Resampling

RESAMPLES, SEED = 1000, 0


class Cluster(StrEnum):
    """What a bootstrap resample draws."""

    patient_id = "patient_id"
    none = "none"


class Interval(StrEnum):
    """How an interval is made from resamples."""

    percentile = "percentile"
    bca = "bca"


Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the resampling.")]
Unit = Annotated[
    Cluster, typer.Option("--cluster", help="Resample whole patients, or single records (none).")
]
Stratify = Annotated[
    str, typer.Option(help="Draw within the values of this column, such as site, or none.")
]
IntervalKind = Annotated[
    Interval,
    typer.Option("--interval", help="Percentile, or bias-corrected and accelerated (bca)."),
]
NumberOfDevices = Annotated[
    int,
    typer.Option("--devices", min=0, help="Spread the resamples over so many devices; 0 for all."),
]


def resampling(
    resamples: int,
    seed: int,
    cluster: Cluster,
    stratify: str = "none",
    interval: Interval = Interval.percentile,
    devices: int = 1,
) -> "Resampling":
    """What the options say.

    Raises:
        UserError: there are fewer devices.
    """
    from deepecg_jax.evaluation.resampling.devices import choose_devices
    from deepecg_jax.evaluation.resampling.resampling import Resampling

    return Resampling(
        resamples,
        seed,
        None if cluster is Cluster.none else cluster.value,
        None if stratify == "none" else stratify,
        interval.value,
        choose_devices(devices),
    )
