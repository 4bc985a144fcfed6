"""Risk groups: who is in which, and their cumulative incidence with patient-level bands."""

from collections.abc import Mapping

import numpy as np

from deepecg_jax.evaluation.resampling.chunks import count_blocks
from deepecg_jax.evaluation.resampling.defined import number
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import Estimate, interval
from deepecg_jax.evaluation.survival.at_threshold import AT_HORIZON, ThresholdAtHorizon
from deepecg_jax.evaluation.survival.discrimination import (
    LANES,
    summary,
    year_name,
    years_within,
)
from deepecg_jax.evaluation.survival.follow_up import DAYS_A_YEAR
from deepecg_jax.evaluation.survival.incidence import FollowUpDays
from deepecg_jax.evaluation.survival.results import CurveRow, RiskGroup

CURVE_POINTS = 121


def risk_groups(scores: np.ndarray, threshold: float | None) -> tuple[str, dict[str, np.ndarray]]:
    """(rule, group -> (M,) bool), from low to high risk; empty groups are left out.

    With a threshold ``low`` and ``high`` (at or above it), else the thirds of these scores.
    """
    if threshold is not None:
        groups = {"low": scores < threshold, "high": scores >= threshold}
        rule = f"high: score >= {threshold:g}"
    else:
        cuts = np.quantile(scores, [1 / 3, 2 / 3])
        index = np.searchsorted(cuts, scores, side="left")
        groups = {name: index == i for i, name in enumerate(("low", "middle", "high"))}
        rule = f"thirds of these scores, cut at {cuts[0]:.6g} and {cuts[1]:.6g}"
    return rule, {name: mask for name, mask in groups.items() if mask.any()}


def describe_groups(
    time: np.ndarray,
    event: np.ndarray,
    groups: Mapping[str, np.ndarray],
    horizon_years: float,
    threshold: bool,
    resampler: Resampler | None,
    resamples: int,
) -> tuple[dict[str, RiskGroup], dict[str, list[CurveRow]], dict[str, Estimate]]:
    """Cumulative incidence of every group, and the threshold's measures at the horizon.

    Returns:
        ``groups``: group -> ``n``, ``n_events``, ``n_competing``, ``incidence_by_year``
        (intervals); ``curves``: group -> rows ``{time_days, n_at_risk, incidence, low, high}`` up
        to the horizon;
        ``at_threshold``: `AT_HORIZON` as intervals, empty without a threshold.
    """
    horizon = horizon_years * DAYS_A_YEAR
    years = years_within(horizon_years)
    grid = {name: _grid(time[mask], event[mask], horizon) for name, mask in groups.items()}
    by_year: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    on_grid: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    measures: dict[str, list[np.ndarray]] = {name: [] for name in AT_HORIZON} if threshold else {}
    at_risk: dict[str, list[int]] = {}
    days = {
        name: FollowUpDays(time[mask], event[mask], len(time), np.flatnonzero(mask))
        for name, mask in groups.items()
    }
    at_horizon = ThresholdAtHorizon(time, event, groups.get("high"), horizon) if threshold else None
    for counts in count_blocks(len(time), resampler, resamples, LANES):
        for name, mask in groups.items():
            table = days[name].table(counts)
            curve = table.incidence
            by_year[name].append(
                np.stack([table.at(curve, year * DAYS_A_YEAR, 0.0) for year in years])
            )
            on_grid[name].append(np.stack([table.at(curve, day, 0.0) for day in grid[name]]))
            if name not in at_risk:  # the first block is the sample
                at_risk[name] = [int((time[mask] >= day).sum()) for day in grid[name]]
        if at_horizon is not None:
            for name, value in at_horizon(counts).items():
                measures[name].append(value)
    described: dict[str, RiskGroup] = {}
    curves: dict[str, list[CurveRow]] = {}
    for name, mask in groups.items():
        yearly = np.concatenate(by_year[name], axis=1)
        described[name] = {
            **summary(event[mask]),
            "incidence_by_year": {
                year_name(year): interval(values)
                for year, values in zip(years, yearly, strict=True)
            },
        }
        drawn = np.concatenate(on_grid[name], axis=1)
        curves[name] = [
            _row(day, n, values)
            for day, n, values in zip(grid[name], at_risk[name], drawn, strict=True)
        ]
    return (
        described,
        curves,
        {name: interval(np.concatenate(values)) for name, values in measures.items()},
    )


def _grid(time: np.ndarray, event: np.ndarray, horizon: float) -> list[float]:
    """Days of a curve: all with an event if they are few, else evenly spaced ones."""
    last = min(horizon, float(time.max()))
    days = np.unique(time[(event > 0) & (time <= last)])
    if len(days) > CURVE_POINTS:
        days = np.linspace(0.0, last, CURVE_POINTS)
    return np.unique(np.r_[0.0, days, last]).tolist()


def _row(day: float, n: int, values: np.ndarray) -> CurveRow:
    band = interval(values)
    return {
        "time_days": day,
        "n_at_risk": n,
        "incidence": number(values[0]),
        "low": band["low"],
        "high": band["high"],
    }
