"""``deepecg survival``: a score against the time to an event."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepecg_jax.cli.resampling_options import (
    RESAMPLES,
    SEED,
    Cluster,
    Resamples,
    Seed,
    Unit,
    resampling,
)

if TYPE_CHECKING:
    from deepecg_jax.evaluation.resampling.intervals import Estimate
    from deepecg_jax.evaluation.survival.results import SurvivalResult


class Rule(StrEnum):
    """What a blanking period does with early events."""

    exclude = "exclude"
    censor = "censor"


def command(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet predictions with the columns time_days and event.")
    ],
    score: Annotated[str, typer.Option(help="The finding or column whose risk is measured.")],
    out: Annotated[Path, typer.Option(help="Folder for survival.json and the curves as CSV.")],
    threshold: Annotated[
        float | None, typer.Option(help="A threshold fixed elsewhere: at or above is high risk.")
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Other scores to hold beside it: --beside charge_af pgs ..."),
    ] = None,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="", hidden=True, show_default=False)
    ] = None,
    horizon_years: Annotated[float, typer.Option(help="Years (of 365 days) looked ahead.")] = 5.0,
    blanking_days: Annotated[
        float, typer.Option(help="Events before this day do not count as predicted.")
    ] = 0.0,
    blanking_rule: Annotated[
        Rule, typer.Option(help="Leave ECGs that end before that day out, or censor their events.")
    ] = Rule.exclude,
    resamples: Resamples = RESAMPLES,
    seed: Seed = SEED,
    cluster: Unit = Cluster.patient_id,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print survival.json instead of tables.")
    ] = False,
) -> None:
    """Measure how a score predicts a later event: concordance, AUROC by year, incidence, hazards.

    The column charge_af is computed from age, white, height_cm, weight_kg, systolic_mmhg,
    diastolic_mmhg, current_smoker, antihypertensive, diabetes, heart_failure and
    myocardial_infarction if the predictions hold these and no column charge_af.
    """
    from deepecg_jax.cli.console import console
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.survival.analysis import survival
    from deepecg_jax.evaluation.survival.result_files import write_survival
    from deepecg_jax.evaluation.table.predictions import read_predictions

    if more and not beside:
        raise UserError(f"{more[0]} is one argument too many; give other scores after --beside.")
    result = survival(
        read_predictions(predictions),
        score,
        threshold=threshold,
        beside=list(dict.fromkeys([*(beside or []), *(more or [])])),
        horizon_years=horizon_years,
        blanking_days=blanking_days,
        blanking_rule=blanking_rule.value,
        resampling=resampling(resamples, seed, cluster),
    )
    files = write_survival(result, out)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _print(result)
    console.print("  ".join(str(file) for file in files), markup=False)


def _print(result: "SurvivalResult") -> None:
    from rich.table import Table

    from deepecg_jax.cli.console import console

    console.print(
        f"{result['n_records']:,} ECGs of {result['n_patients']:,} patients, "
        f"{result['n_events']:,} events, {result['n_competing']:,} competing; left out: "
        f"{result['left_out']['without_follow_up']:,} without follow-up, "
        f"{result['left_out']['blanked']:,} in the blanking period ({result['blanking_rule']}).",
        highlight=False,
    )
    scores = {result["score"]: result["discrimination"]}
    scores |= {
        name: part["discrimination"]
        for name, part in result["beside"].items()
        if "discrimination" in part
    }
    last = list(result["discrimination"]["auroc_by_year"])[-1]
    table = Table("score", "Harrell C", "Uno C", f"AUROC at {last} y", "event AUROC")
    for name, part in scores.items():
        cells = [part["harrell_c"], part["uno_c"], part["auroc_by_year"][last]]
        table.add_row(name, *(_cell(value) for value in [*cells, part["event_auroc"]]))
    console.print(table)
    table = Table(
        "group",
        "ECGs",
        "events",
        f"incidence at {last} y",
        title=result["group_rule"],
        title_justify="left",
    )
    for name, part in result["groups"].items():
        incidence = part["incidence_by_year"][last]
        table.add_row(name, f"{part['n']:,}", f"{part['n_events']:,}", _cell(incidence))
    console.print(table)
    test = result["log_rank"]
    if test["p"] is not None:
        clustered = test["p_clustered"]
        shown = "" if clustered is None else f", {clustered:.2g} with variance between patients"
        console.print(f"log-rank p {test['p']:.2g}{shown}", highlight=False)
    at = result["threshold"]
    if at is not None:
        ratio = at["hazard_ratio"]
        if "reason" in ratio:
            hazard = ratio["reason"]
        else:
            high = ratio["covariates"]["high"]
            hazard = f"{high['hazard_ratio']:.2f} [{high['low']:.2f}, {high['high']:.2f}]"
        console.print(
            f"high risk {_cell(at['high_risk_share'])}, hazard ratio {hazard}, sensitivity "
            f"{_cell(at['sensitivity'])}, specificity {_cell(at['specificity'])}, PPV "
            f"{_cell(at['ppv'])}",
            markup=False,
            highlight=False,
        )


def _cell(estimate: "Estimate") -> str:
    if estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
