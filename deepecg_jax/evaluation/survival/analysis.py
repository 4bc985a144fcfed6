"""The survival analysis of one score: everything that ``survival.json`` holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import interval, number
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
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
) -> dict[str, Any]:
    """How a score at the ECG predicts a later event.

    Args:
        predictions: with ``time_days`` and ``event`` (0 censored, 1 event, 2 competing death).
        score: a finding or any numeric column; higher is riskier.
        threshold: fixed elsewhere; at or above it is high risk. Without one, groups are thirds.
        beside: scores to hold beside it on the records that have both; ``charge_af`` is computed
            from the columns of `charge_af.INPUTS` if there is no such column.
        horizon_years: years of 365 days.
        blanking_days, blanking_rule: see `follow_up.read_follow_up`.
        resamples, seed, cluster: of the bootstrap, as in `evaluate.evaluate`.

    Returns:
        ``schema``, the arguments, ``n_records``, ``n_patients``, ``n_events``, ``n_competing``,
        ``left_out`` (``without_follow_up``, ``blanked``), ``follow_up`` (``median_days`` by reverse
        Kaplan-Meier, ``longest_days``), and with ``I`` = ``{value, low, high, degenerate}``:

        * ``discrimination``: ``harrell_c``, ``uno_c``, ``event_auroc``: I; ``auroc_by_year``: year
          -> I (cumulative/dynamic, weighted for censoring);
        * ``groups``: group -> ``n``, ``n_events``, ``n_competing``, ``incidence_by_year``;
          ``group_rule``; ``log_rank`` (`regression.log_rank`);
        * ``threshold``: null, or ``value``, `at_threshold.MEASURES` at the horizon: I, and
          ``hazard_ratio`` of high against low (`regression.cox`);
        * ``cox``: the hazard ratio of one standard deviation of the score;
        * ``beside``: column -> ``n``, ``n_events``, ``discrimination`` of it and
          ``score_discrimination`` on the same records, ``difference`` (score minus column, paired):
          measure -> I, ``cox``, ``adding_score``, ``adding_column`` (`regression.nested`);
        * ``curves``: group -> rows ``{time_days, n_at_risk, incidence, low, high}``.

    Raises:
        UserError: a column is missing or wrong, no event, a score is NaN, the follow-up ends before
            the horizon, or lifelines is not installed.
    """
    _check(resamples, seed, cluster, horizon_years, threshold)
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
    patient = predictions.patient_id[follow.rows] if cluster else None
    resampler = _resampler(patient, len(time), seed)
    columns = {name: column[follow.rows] for name, column in others.items()}
    # those without gaps share the resamples of the score itself
    complete = {name: column for name, column in columns.items() if not np.isnan(column).any()}
    values = discriminate(time, event, {score: own} | complete, horizon_years, resampler, resamples)
    rule, groups = risk_groups(own, threshold)
    described, curves, measured = describe_groups(
        time, event, groups, horizon_years, threshold is not None, resampler, resamples
    )
    membership = np.select(list(groups.values()), range(len(groups)))
    return {
        "schema": SCHEMA,
        "score": score,
        "horizon_years": float(horizon_years),
        "horizon_days": float(horizon),
        "blanking_days": float(blanking_days),
        "blanking_rule": blanking_rule,
        "resamples": resamples,
        "seed": seed,
        "cluster": cluster,
        "n_records": len(time),
        "n_patients": len(set(predictions.patient_id[follow.rows]) - {""}),
        **{key: value for key, value in summary(event).items() if key != "n"},
        "left_out": {"without_follow_up": follow.without, "blanked": follow.blanked},
        "follow_up": _length(follow),
        "discrimination": _discrimination(values[score], horizon_years),
        "group_rule": rule,
        "groups": described,
        "log_rank": log_rank(time, event, membership, patient),
        "threshold": None
        if threshold is None
        else {
            "value": float(threshold),
            **measured,
            "hazard_ratio": cox(time, event, {"high": (own >= threshold).astype(float)}, patient),
        },
        "cox": cox(time, event, {score: _standard(own)}, patient),
        "beside": {
            name: _compare(
                follow,
                own,
                column,
                (score, name),
                patient,
                horizon_years,
                resamples,
                seed,
                {"score": values[score], "column": values[name]} if name in complete else None,
            )
            for name, column in columns.items()
        },
        "curves": curves,
    }


def _check(
    resamples: int, seed: int, cluster: str | None, horizon_years: float, threshold: float | None
) -> None:
    if resamples < 1:
        raise UserError(f"resamples is {resamples}; at least 1 is needed for an interval.")
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or more.")
    if cluster not in (None, "patient_id"):
        raise UserError(f"cluster is '{cluster}'; use patient_id or none.")
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


def _resampler(patient: np.ndarray | None, n: int, seed: int) -> Resampler:
    if patient is None:
        return Resampler.of_records(n, seed)
    return Resampler.of_patients(patient, seed)


def _length(follow: FollowUp) -> dict[str, Any]:
    """Median potential follow-up: Kaplan-Meier with censoring as the event (Schemper and Smith,
    Controlled Clinical Trials 17, 1996)."""
    table = life_table(follow.time, follow.event, np.ones((len(follow.time), 1)))
    reached = np.flatnonzero(table.uncensored[:, 0] <= 0.5)
    median = float(table.days[reached[0]]) if len(reached) else np.nan
    return {"median_days": number(median), "longest_days": float(follow.time.max())}


def _discrimination(values: Mapping[str, np.ndarray], horizon_years: float) -> dict[str, Any]:
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
    patient: np.ndarray | None,
    horizon_years: float,
    resamples: int,
    seed: int,
    values: Mapping[str, Mapping[str, np.ndarray]] | None,
) -> dict[str, Any]:
    """The score and another on the records that have both; `values` if these are all of them."""
    both = ~np.isnan(other)
    time, event = follow.time[both], follow.event[both]
    if not (event == 1).any():
        return summary(event) | {"reason": f"no event among the ECGs that have {names[1]}"}
    patient = None if patient is None else patient[both]
    pair = {"score": own[both], "column": other[both]}
    if values is None:
        resampler = _resampler(patient, len(time), seed)
        values = discriminate(time, event, pair, horizon_years, resampler, resamples)
    standard = {
        "score": {names[0]: _standard(pair["score"])},
        "column": {names[1]: _standard(pair["column"])},
    }
    alone = {key: cox(time, event, own, patient) for key, own in standard.items()}
    together = cox(time, event, standard["score"] | standard["column"], patient)
    return summary(event) | {
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
