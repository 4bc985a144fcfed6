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


class Interval(StrEnum):
    """How an interval is made from resamples."""

    percentile = "percentile"
    bca = "bca"


class FairnessDefinition(StrEnum):
    """What a difference between groups is."""

    range = "range"
    original = "original"


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
    stratify: Annotated[
        str, typer.Option(help="Draw within the values of this column, such as site, or none.")
    ] = "none",
    interval: Annotated[
        Interval, typer.Option(help="Percentile, or bias-corrected and accelerated (bca).")
    ] = Interval.percentile,
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
    devices: Annotated[
        int, typer.Option(min=0, help="Spread the resamples over so many devices; 0 for all.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json instead of tables.")
    ] = False,
) -> None:
    """Measure predictions: AUROC and more with patient-level intervals, fairness, calibration."""
    from deepecg_jax.cli.console import console, err
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.discrimination.fitted import fit_for
    from deepecg_jax.evaluation.discrimination.thresholds import Method, read_thresholds
    from deepecg_jax.evaluation.evaluate import Options, Thresholds, evaluate, write_metrics
    from deepecg_jax.evaluation.report.page import write_report
    from deepecg_jax.evaluation.report.terminal import print_metrics
    from deepecg_jax.evaluation.resampling.devices import choose_devices
    from deepecg_jax.evaluation.table.finding_sets import read_groups
    from deepecg_jax.evaluation.table.predictions import read_predictions

    if thresholds is not None and fit_thresholds is not None:
        raise UserError("Give --thresholds or --fit-thresholds, not both.")
    method = Method.parse(threshold_method)
    options = Options(
        interval=interval.value,
        stratify=None if stratify == "none" else stratify,
        groups={} if groups is None else read_groups(groups),
        by=tuple(by or ()),
        fairness_definition=fairness_definition.value,
        devices=choose_devices(devices),
        survival=tuple(survival or ()),
        horizon_years=horizon_years,
    )
    if (data_dir is None) != (dataset is None):
        raise UserError("--data-dir and --dataset go together; one of them is missing.")
    draw = None
    if data_dir is not None and dataset is not None:
        from deepecg_jax.cli.draw_errors import drawer

        draw = drawer(data_dir, dataset, split)
    unit = None if cluster is Cluster.none else cluster.value
    table = read_predictions(predictions)
    limits = Thresholds()
    if fit_thresholds is not None:
        fitted = fit_for(
            read_predictions(fit_thresholds),
            fit_thresholds.name,
            table,
            method,
            resamples,
            seed,
            unit,
        )
        limits = Thresholds(fitted.values, fitted.source, fitted.about)
        if fitted.warning:
            err.print(f"[yellow]{fitted.warning}[/yellow]")
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
    metrics = evaluate(table, limits, resamples, seed, unit, options)
    write_metrics(metrics, out / "metrics.json")
    write_report(table, metrics, out / "report.html", predictions.name, draw)
    if as_json:
        typer.echo(json.dumps(metrics, ensure_ascii=False))
    else:
        print_metrics(metrics, console)
        console.print(f"{out / 'metrics.json'}  {out / 'report.html'}", markup=False)
