"""``deepecg compare``: two models' predictions of the same ECGs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.evaluate import Cluster, Interval


def command(
    a: Annotated[Path, typer.Argument(help="Predictions of model A (Parquet).")],
    b: Annotated[Path, typer.Argument(help="Predictions of model B for the same record_id.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json, .csv and .html.")],
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of resamples and permutations.")] = 0,
    permutations: Annotated[
        int | None,
        typer.Option(min=0, help="Permutations; 0 leaves the test out. Default: as --resamples."),
    ] = None,
    cluster: Annotated[
        Cluster, typer.Option(help="Draw and swap whole patients, or single records (none).")
    ] = Cluster.patient_id,
    stratify: Annotated[
        str, typer.Option(help="Draw within the values of this column, such as site, or none.")
    ] = "none",
    interval: Annotated[
        Interval, typer.Option(help="Percentile, or bias-corrected and accelerated (bca).")
    ] = Interval.percentile,
    thresholds: Annotated[
        Path | None, typer.Option(help="Thresholds of both models (JSON or CSV). Default: 0.5.")
    ] = None,
    thresholds_a: Annotated[
        Path | None, typer.Option(help="Thresholds of model A, instead of --thresholds.")
    ] = None,
    thresholds_b: Annotated[
        Path | None, typer.Option(help="Thresholds of model B, instead of --thresholds.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=0, help="Spread the resamples over so many devices; 0 for all.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print comparison.json instead of a table.")
    ] = False,
) -> None:
    """Compare two models on the same ECGs: paired intervals, DeLong, permutation, Holm, NRI."""
    from deepecg_jax.cli.console import console
    from deepecg_jax.evaluation.comparison.compare import CompareOptions, compare
    from deepecg_jax.evaluation.comparison.files import write_comparison
    from deepecg_jax.evaluation.discrimination.thresholds import read_thresholds
    from deepecg_jax.evaluation.evaluate import Thresholds
    from deepecg_jax.evaluation.report.comparison_page import write_comparison_report
    from deepecg_jax.evaluation.report.comparison_table import print_comparison
    from deepecg_jax.evaluation.resampling.devices import choose_devices
    from deepecg_jax.evaluation.table.pairing import pair
    from deepecg_jax.evaluation.table.predictions import read_predictions

    def limits(own: Path | None) -> Thresholds:
        chosen = own or thresholds
        return Thresholds() if chosen is None else Thresholds(read_thresholds(chosen), chosen.name)

    both = limits(thresholds_a), limits(thresholds_b)
    options = CompareOptions(
        resamples=resamples,
        permutations=resamples if permutations is None else permutations,
        seed=seed,
        cluster=None if cluster is Cluster.none else cluster.value,
        interval=interval.value,
        stratify=None if stratify == "none" else stratify,
        devices=choose_devices(devices),
    )
    joined = pair(read_predictions(a), read_predictions(b), str(a), str(b))
    comparison = {"a": str(a.name), "b": str(b.name)} | compare(joined, both, options)
    write_comparison(comparison, out)
    write_comparison_report(comparison, out / "comparison.html")
    if as_json:
        typer.echo(json.dumps(comparison, ensure_ascii=False))
    else:
        print_comparison(comparison, console)
        files = ("comparison.json", "comparison.csv", "comparison.html")
        console.print("  ".join(str(out / name) for name in files), markup=False)
