"""``deepecg evaluate``: a predictions table in, metrics.json and report.html out."""

import json
from enum import StrEnum
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
    Seed,
    Stratify,
    Unit,
    resampling,
)


class FairnessDefinition(StrEnum):
    """What a difference between groups is."""

    range = "range"
    original = "original"


def command(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet: record_id, patient_id, age, sex, label:X, score:X.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    resamples: Resamples = RESAMPLES,
    seed: Seed = SEED,
    cluster: Unit = Cluster.patient_id,
    stratify: Stratify = "none",
    interval: IntervalKind = Interval.percentile,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            help="JSON finding -> threshold, or CSV with columns finding and threshold "
            "(FILE.csv:COLUMN picks another), fitted on validation data. Default: 0.5."
        ),
    ] = None,
    fit_thresholds: Annotated[
        Path | None, typer.Option(help="Fit the thresholds on this predictions file instead.")
    ] = None,
    threshold_method: Annotated[
        str, typer.Option(help="youden, f1, sensitivity=0.9 or specificity=0.9.")
    ] = "youden",
    groups: Annotated[
        Path | None, typer.Option(help="JSON group -> findings, further sets to average over.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Compare the groups of this column too (repeat for more)."),
    ] = None,
    fairness_definition: Annotated[
        FairnessDefinition,
        typer.Option(help="Largest minus smallest, or that of the published DeepECG figures."),
    ] = FairnessDefinition.range,
    survival: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold the score of this finding or column against time_days and event (repeat)."
        ),
    ] = None,
    horizon_years: Annotated[
        float, typer.Option(min=0.1, help="Years that the survival analysis looks ahead.")
    ] = 5.0,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="With --dataset: draw the ECGs of the most confident errors."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set that holds the signals.")] = None,
    split: Annotated[str, typer.Option(help="Split of that data set.")] = "test",
    devices: NumberOfDevices = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json instead of tables.")
    ] = False,
) -> None:
    """Measure predictions: AUROC and more with patient-level intervals, fairness, calibration."""
    from deepecg_jax.cli.console import console, err
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.discrimination.fitted import fit_for
    from deepecg_jax.evaluation.discrimination.thresholds import (
        ThresholdMethod,
        Thresholds,
        read_thresholds,
    )
    from deepecg_jax.evaluation.evaluate import Options, evaluate, write_metrics
    from deepecg_jax.evaluation.report.page import write_report
    from deepecg_jax.evaluation.report.terminal import print_metrics
    from deepecg_jax.evaluation.table.finding_sets import read_groups
    from deepecg_jax.evaluation.table.predictions import read_predictions

    if thresholds is not None and fit_thresholds is not None:
        raise UserError("Give --thresholds or --fit-thresholds, not both.")
    method = ThresholdMethod.parse(threshold_method)
    drawn = resampling(resamples, seed, cluster, stratify, interval, devices)
    options = Options(
        groups={} if groups is None else read_groups(groups),
        by=tuple(by or ()),
        fairness_definition=fairness_definition.value,
        survival=tuple(survival or ()),
        horizon_years=horizon_years,
    )
    if (data_dir is None) != (dataset is None):
        raise UserError("--data-dir and --dataset go together; one of them is missing.")
    draw = None
    if data_dir is not None and dataset is not None:
        from deepecg_jax.cli.draw_errors import drawer

        draw = drawer(data_dir, dataset, split)
    table = read_predictions(predictions)
    limits = Thresholds()
    if fit_thresholds is not None:
        own = read_predictions(fit_thresholds)
        limits, warning = fit_for(own, fit_thresholds.name, table, method, drawn)
        if warning:
            err.print(f"[yellow]{warning}[/yellow]")
    elif thresholds is not None:
        limits = Thresholds(read_thresholds(thresholds), thresholds.name)
    else:
        err.print(
            "[yellow]No thresholds file: sensitivity, specificity, PPV, NPV and F1 are at 0.5. "
            "Give --thresholds with thresholds fitted on validation data, or --fit-thresholds with "
            "the validation predictions.[/yellow]"
        )
    if table.has_survival and not survival:
        err.print(
            "[yellow]There are time_days and event: give --survival FINDING for the time-to-event "
            "analysis of its score.[/yellow]"
        )
    metrics = evaluate(table, limits, drawn, options)
    write_metrics(metrics, out / "metrics.json")
    write_report(table, metrics, out / "report.html", predictions.name, draw)
    if as_json:
        typer.echo(json.dumps(metrics, ensure_ascii=False))
    else:
        print_metrics(metrics, console)
        console.print(f"{out / 'metrics.json'}  {out / 'report.html'}", markup=False)
