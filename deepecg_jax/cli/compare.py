"""``deepecg compare``: two models' predictions of the same ECGs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.resampling_options import (
    RESAMPLES,
    SEED,
    Cluster,
    Interval,
    IntervalKind,
    NumberOfDevices,
    Resamples,
    Stratify,
    resampling,
)


def command(
    a: Annotated[Path, typer.Argument(help="Predictions of model A (Parquet).")],
    b: Annotated[Path, typer.Argument(help="Predictions of model B for the same record_id.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json, .csv and .html.")],
    resamples: Resamples = RESAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Seed of resamples and permutations.")] = SEED,
    permutations: Annotated[
        int | None,
        typer.Option(min=0, help="Permutations; 0 leaves the test out. Default: as --resamples."),
    ] = None,
    cluster: Annotated[
        Cluster, typer.Option(help="Draw and swap whole patients, or single records (none).")
    ] = Cluster.patient_id,
    stratify: Stratify = "none",
    interval: IntervalKind = Interval.percentile,
    thresholds: Annotated[
        Path | None, typer.Option(help="Thresholds of both models (JSON or CSV). Default: 0.5.")
    ] = None,
    thresholds_a: Annotated[
        Path | None, typer.Option(help="Thresholds of model A, instead of --thresholds.")
    ] = None,
    thresholds_b: Annotated[
        Path | None, typer.Option(help="Thresholds of model B, instead of --thresholds.")
    ] = None,
    devices: NumberOfDevices = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print comparison.json instead of a table.")
    ] = False,
) -> None:
    """Compare two models on the same ECGs: paired intervals, DeLong, permutation, Holm, NRI."""
    from deepecg_jax.cli.console import console
    from deepecg_jax.evaluation.comparison.compare import compare
    from deepecg_jax.evaluation.comparison.result_files import write_comparison
    from deepecg_jax.evaluation.comparison.results import ComparisonResult
    from deepecg_jax.evaluation.discrimination.thresholds import Thresholds, read_thresholds
    from deepecg_jax.evaluation.report.comparison_page import write_comparison_report
    from deepecg_jax.evaluation.report.comparison_table import print_comparison
    from deepecg_jax.evaluation.table.pairing import pair
    from deepecg_jax.evaluation.table.predictions import read_predictions

    def limits(own: Path | None) -> Thresholds:
        chosen = own or thresholds
        return Thresholds() if chosen is None else Thresholds(read_thresholds(chosen), chosen.name)

    both = limits(thresholds_a), limits(thresholds_b)
    drawn = resampling(resamples, seed, cluster, stratify, interval, devices)
    joined = pair(read_predictions(a), read_predictions(b), str(a), str(b))
    number = resamples if permutations is None else permutations
    comparison: ComparisonResult = {
        "a": a.name,
        "b": b.name,
        **compare(joined, both, drawn, number),
    }
    write_comparison(comparison, out)
    write_comparison_report(comparison, out / "comparison.html")
    if as_json:
        typer.echo(json.dumps(comparison, ensure_ascii=False))
    else:
        print_comparison(comparison, console)
        files = ("comparison.json", "comparison.csv", "comparison.html")
        console.print("  ".join(str(out / name) for name in files), markup=False)
