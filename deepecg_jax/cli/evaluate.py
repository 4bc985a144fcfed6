"""``deepecg evaluate``: a predictions table in, metrics.json and report.html out."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Cluster(StrEnum):
    """What a bootstrap resample draws."""

    patient_id = "patient_id"
    none = "none"


def command(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet: record_id, patient_id, age, sex, label:X, score:X.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 0,
    cluster: Annotated[
        Cluster, typer.Option(help="Resample whole patients, or single records (none).")
    ] = Cluster.patient_id,
    thresholds: Annotated[
        Path | None,
        typer.Option(help="JSON finding -> threshold, fitted on validation data. Default: 0.5."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json instead of tables.")
    ] = False,
) -> None:
    """Measure predictions: AUROC and more with patient-level intervals, fairness, calibration."""
    from deepecg_jax.cli.console import console, err
    from deepecg_jax.evaluation.evaluate import Thresholds, evaluate, write_metrics
    from deepecg_jax.evaluation.predictions import read_predictions
    from deepecg_jax.evaluation.report import write_report
    from deepecg_jax.evaluation.terminal import print_metrics
    from deepecg_jax.evaluation.thresholds import read_thresholds

    table = read_predictions(predictions)
    limits = Thresholds()
    if thresholds is not None:
        limits = Thresholds(read_thresholds(thresholds), thresholds.name)
    else:
        err.print(
            "[yellow]No thresholds file: sensitivity, specificity, PPV, NPV and F1 are at 0.5. "
            "Give --thresholds with thresholds fitted on validation data.[/yellow]"
        )
    if table.has_survival:
        err.print("[yellow]time_days and event are not analysed by this version.[/yellow]")
    metrics = evaluate(
        table, limits, resamples, seed, None if cluster is Cluster.none else cluster.value
    )
    write_metrics(metrics, out / "metrics.json")
    write_report(table, metrics, out / "report.html", predictions.name)
    if as_json:
        typer.echo(json.dumps(metrics, ensure_ascii=False))
    else:
        print_metrics(metrics, console)
        console.print(f"{out / 'metrics.json'}  {out / 'report.html'}", markup=False)
