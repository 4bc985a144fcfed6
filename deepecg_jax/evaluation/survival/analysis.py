"""The survival analysis of one score: everything that ``survival.json`` holds."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.defined import number
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.survival.charge_af import INPUTS, charge_af
from deepecg_jax.evaluation.survival.discrimination import (
    discriminate,
    summary,
    year_name,
    years_within,
)
from deepecg_jax.evaluation.survival.follow_up import (
    DAYS_A_YEAR,
    BlankingRule,
    FollowUp,
    read_follow_up,
    score_column,
)
from deepecg_jax.evaluation.survival.groups import describe_groups, risk_groups
from deepecg_jax.evaluation.survival.incidence import life_table
from deepecg_jax.evaluation.survival.regression import cox, log_rank, nested
from deepecg_jax.evaluation.survival.results import (
    AtThreshold,
    Beside,
    Discrimination,
    FollowUpLength,
    SurvivalResult,
)
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1
CHARGE_AF = "charge_af"


def survival(
    predictions: Predictions,
    score: str,
    threshold: float | None = None,
    beside: Sequence[str] = (),
    horizon_years: float = 5,
    blanking_days: float = 0,
    blanking_rule: BlankingRule = "exclude",
    resampling: Resampling | None = None,
) -> SurvivalResult:
    """How a score at the ECG predicts a later event.

    Args:
        predictions: with ``time_days`` and ``event`` (0 censored, 1 event, 2 competing death).
        score: a finding or any numeric column; higher is riskier.
        threshold: fixed elsewhere; at or above it is high risk. Without one, groups are thirds.
        beside: scores to hold beside it on the records that have both; ``charge_af`` is computed
            from the columns of `charge_af.INPUTS` if there is no such column.
        horizon_years: years of 365 days.
        blanking_days, blanking_rule: see `follow_up.read_follow_up`.
        resampling: of the bootstrap; strata, BCa and devices are not offered here.

    Returns:
        what ``survival.json`` holds.

    Raises:
        UserError: a column is missing or wrong, no event, a score is NaN, the follow-up ends before
            the horizon, or lifelines is not installed.
    """
    resampling = resampling or Resampling()
    resampling.refuse("The survival analysis", "stratify", "interval", "devices")
    _check(horizon_years, threshold)
    if score in beside:
        raise UserError(f"The score '{score}' cannot be held beside itself; leave it out there.")
    own = score_column(predictions, score)
    others = {name: _beside(predictions, name) for name in beside}
    follow = read_follow_up(predictions, blanking_days, blanking_rule)
    own = own[follow.rows]
    if np.isnan(own).any():
        row = int(follow.rows[np.isnan(own).argmax()])
        raise UserError(
            f"The score '{score}' is missing or NaN in {int(np.isnan(own).sum())} ECGs with "
            f"follow-up (first in row {row}); every one needs a score."
        )
    horizon = horizon_years * DAYS_A_YEAR
    if follow.time.max() < horizon:
        reached = np.floor(100 * follow.time.max() / DAYS_A_YEAR) / 100
        raise UserError(
            f"The longest follow-up is {follow.time.max():g} days, short of the horizon of "
            f"{horizon:g} days; use --horizon-years {reached:g} or less."
        )
    time, event = follow.time, follow.event
    patient = predictions.patient_id[follow.rows]
    resampler, resamples = resampling.resampler(patient), resampling.resamples
    clusters = None if resampling.cluster is None else patient
    columns = {name: column[follow.rows] for name, column in others.items()}
    # those without gaps share the resamples of the score itself
    complete = {name: column for name, column in columns.items() if not np.isnan(column).any()}
    values = discriminate(time, event, {score: own} | complete, horizon_years, resampler, resamples)
    rule, groups = risk_groups(own, threshold)
    described, curves, measured = describe_groups(
        time, event, groups, horizon_years, threshold is not None, resampler, resamples
    )
    ended = summary(event)
    membership = np.select(list(groups.values()), range(len(groups)))
    return {
        "schema": SCHEMA,
        "score": score,
        "horizon_years": float(horizon_years),
        "horizon_days": float(horizon),
        "blanking_days": float(blanking_days),
        "blanking_rule": blanking_rule,
        "resamples": resamples,
        "seed": resampling.seed,
        "cluster": resampling.cluster,
        "n_records": len(time),
        "n_patients": len(set(patient) - {""}),
        "n_events": ended["n_events"],
        "n_competing": ended["n_competing"],
        "left_out": {"without_follow_up": follow.without, "blanked": follow.blanked},
        "follow_up": _length(follow),
        "discrimination": _discrimination(values[score], horizon_years),
        "group_rule": rule,
        "groups": described,
        "log_rank": log_rank(time, event, membership, clusters),
        "threshold": None
        if threshold is None
        else cast(
            AtThreshold,
            {
                "value": float(threshold),
                **measured,
                "hazard_ratio": cox(
                    time, event, {"high": (own >= threshold).astype(float)}, clusters
                ),
            },
        ),
        "cox": cox(time, event, {score: _standard(own)}, clusters),
        "beside": {
            name: _compare(
                follow,
                own,
                column,
                (score, name),
                patient,
                horizon_years,
                resampling,
                {"score": values[score], "column": values[name]} if name in complete else None,
            )
            for name, column in columns.items()
        },
        "curves": curves,
    }


def _check(horizon_years: float, threshold: float | None) -> None:
    if not 0 < horizon_years < 100:
        raise UserError(f"The horizon is {horizon_years:g} years; it must lie between 0 and 100.")
    if threshold is not None and not np.isfinite(threshold):
        raise UserError(f"The threshold is {threshold}; it must be a finite number.")


def _beside(predictions: Predictions, name: str) -> np.ndarray:
    present = name in predictions.names or name in predictions.extra
    if name == CHARGE_AF and not present:
        inputs = {
            column: score_column(predictions, column)
            for column in INPUTS
            if column in predictions.extra or column == "age"
        }
        return charge_af(inputs).risk
    return score_column(predictions, name)


def _length(follow: FollowUp) -> FollowUpLength:
    """Median potential follow-up: Kaplan-Meier with censoring as the event (Schemper and Smith,
    Controlled Clinical Trials 17, 1996)."""
    table = life_table(follow.time, follow.event, np.ones((len(follow.time), 1)))
    reached = np.flatnonzero(table.uncensored[:, 0] <= 0.5)
    median = float(table.days[reached[0]]) if len(reached) else np.nan
    return {"median_days": number(median), "longest_days": float(follow.time.max())}


def _discrimination(values: Mapping[str, np.ndarray], horizon_years: float) -> Discrimination:
    return {
        "harrell_c": interval(values["harrell_c"]),
        "uno_c": interval(values["uno_c"]),
        "event_auroc": interval(values["event_auroc"]),
        "auroc_by_year": {
            year_name(year): interval(values[f"auroc_{year_name(year)}"])
            for year in years_within(horizon_years)
        },
    }


def _standard(values: np.ndarray) -> np.ndarray:
    """In standard deviations; unchanged if all are equal, which `cox` reports."""
    spread = values.std()
    return values if spread == 0 else (values - values.mean()) / spread


def _compare(
    follow: FollowUp,
    own: np.ndarray,
    other: np.ndarray,
    names: tuple[str, str],
    patient: np.ndarray,
    horizon_years: float,
    resampling: Resampling,
    values: Mapping[str, Mapping[str, np.ndarray]] | None,
) -> Beside:
    """The score and another on the records that have both; `values` if these are all of them."""
    both = ~np.isnan(other)
    time, event = follow.time[both], follow.event[both]
    if not (event == 1).any():
        return {**summary(event), "reason": f"no event among the ECGs that have {names[1]}"}
    patient = patient[both]
    clusters = None if resampling.cluster is None else patient
    pair = {"score": own[both], "column": other[both]}
    if values is None:
        resampler = resampling.resampler(patient)
        values = discriminate(time, event, pair, horizon_years, resampler, resampling.resamples)
    standard = {
        "score": {names[0]: _standard(pair["score"])},
        "column": {names[1]: _standard(pair["column"])},
    }
    alone = {key: cox(time, event, own, clusters) for key, own in standard.items()}
    together = cox(time, event, standard["score"] | standard["column"], clusters)
    return {
        **summary(event),
        "discrimination": _discrimination(values["column"], horizon_years),
        "score_discrimination": _discrimination(values["score"], horizon_years),
        "difference": {
            measure: interval(values["score"][measure] - values["column"][measure])
            for measure in values["score"]
        },
        "cox": alone["column"],
        "adding_score": nested(alone["column"], together, [names[0]]),
        "adding_column": nested(alone["score"], together, [names[1]]),
    }
