"""Does a score of 0.2 mean that one in five has the finding?"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deepecg_jax.evaluation.calibration.logistic import CoxRecalibration, cox_recalibration
from deepecg_jax.evaluation.calibration.measures import (
    CALIBRATION_MEASURES,
    measures,
)
from deepecg_jax.evaluation.calibration.results import (
    Bin,
    CalibrationResult,
    CurvePoint,
    FindingCalibration,
)
from deepecg_jax.evaluation.calibration.sums import BINS, BinSums, Layout, Sums
from deepecg_jax.evaluation.resampling.chunks import draw_blocks
from deepecg_jax.evaluation.resampling.defined import number, ratio
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import NORMAL, Estimate, interval, macro_interval

CURVE_POINTS = 101


def calibrate(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    resampler: Resampler | None = None,
    resamples: int = 0,
) -> CalibrationResult:
    """The calibration part of ``metrics.json``.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C).
        names: the C findings.
        resampler: draws the resamples (whole patients); without it there are no intervals.
        resamples: how many.

    Returns:
        see `results.CalibrationResult`; bins of equal width and of equal mass, and the smooth curve
        at up to 101 scores.

        Every record counts once, whatever its weight in the table.
        Intervals of slope and intercept are Wald's with cluster-robust errors; the others are
        percentiles over the resamples, in which bins and smoothing windows stay as they are.
    """
    known = labels >= 0

    def prepare(j: int) -> tuple[Layout, CoxRecalibration] | None:
        own = np.flatnonzero(known[:, j])
        if not len(own):
            return None
        positive = labels[own, j] == 1
        clusters = None if resampler is None else resampler.cluster_of[own]
        return (
            Layout(own, positive, scores[own, j]),
            cox_recalibration(positive, scores[own, j], clusters),
        )

    findings, drawn = {}, np.full((len(CALIBRATION_MEASURES), 1 + resamples, len(names)), np.nan)
    both = np.zeros((1 + resamples, len(names)), bool)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        prepared = list(pool.map(prepare, range(len(names))))
        layouts = {j: part[0] for j, part in enumerate(prepared) if part is not None}
        sums = _sweep(layouts, len(labels), resampler, resamples, pool)
    for j, (name, part) in enumerate(zip(names, prepared, strict=True)):
        if part is None:
            findings[name] = _unlabelled()
            continue
        values = measures(part[0].x, sums[j])
        drawn[:, :, j] = [values[measure] for measure in CALIBRATION_MEASURES]
        positives, records = (
            total.sum(axis=1) for total in (sums[j].width.positive, sums[j].width.n)
        )
        both[:, j] = (positives > 0) & (positives < records)
        findings[name] = _finding(part[0], sums[j], values, part[1])
    flat = Sums.flattened(list(sums.values()))
    macro = {
        measure: macro_interval(drawn[m], both) for m, measure in enumerate(CALIBRATION_MEASURES)
    }
    micro = measures(np.empty(0), flat)
    edges = [(b / BINS, (b + 1) / BINS) for b in range(BINS)]
    return {
        "bins": BINS,
        "curve_intervals": "bootstrap percentiles" if resamples else None,
        "slope_intervals": "cluster-robust Wald" if resampler is not None else None,
        "findings": findings,
        "macro": {"ece": macro["ece"]["value"], "intervals": macro},
        "micro": {
            "ece": number(micro["ece"][0]),
            "intervals": {measure: interval(value) for measure, value in micro.items()},
            "bins": _bins(flat.width, edges),
        },
    }


def _sweep(
    layouts: Mapping[int, Layout],
    n_records: int,
    resampler: Resampler | None,
    resamples: int,
    pool: ThreadPoolExecutor,
) -> dict[int, Sums]:
    """The sums of every layout: row 0 the sample itself, then its resamples."""
    blocks = [
        list(pool.map(lambda layout, drawn=counts: layout.sums(drawn), layouts.values()))
        for counts in draw_blocks(n_records, resampler, resamples)
    ]
    sums = [Sums.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return dict(zip(layouts, sums, strict=True))


def _finding(
    layout: Layout, sums: Sums, values: Mapping[str, np.ndarray], cox: CoxRecalibration
) -> FindingCalibration:
    edges = [(b / BINS, (b + 1) / BINS) for b in range(BINS)]
    assert sums.mass is not None and sums.smooth is not None
    intervals = {measure: interval(value) for measure, value in values.items()}
    intervals["slope"] = _wald(cox.slope, cox.slope_error)
    intervals["intercept"] = _wald(cox.intercept, cox.intercept_error)
    return {
        "n": int(sums.width.n[0].sum()),
        "n_positive": int(sums.width.positive[0].sum()),
        "ece": number(values["ece"][0]),
        "slope": cox.slope,
        "intercept": cox.intercept,
        "intervals": intervals,
        "bins": _bins(sums.width, edges),
        "bins_equal_mass": _bins(sums.mass, layout.edges),
        "curve": _curve(layout.x, sums.smooth),
    }


def _unlabelled() -> FindingCalibration:
    """A finding of which nothing is known."""
    nothing = interval(np.array([np.nan]))
    every = (*CALIBRATION_MEASURES, "slope", "intercept")
    return {
        "n": 0,
        "n_positive": 0,
        "ece": None,
        "slope": None,
        "intercept": None,
        "intervals": dict.fromkeys(every, nothing),
        "bins": [],
        "bins_equal_mass": [],
        "curve": [],
    }


def _wald(value: float | None, error: float | None) -> Estimate:
    low = high = None
    if value is not None and error is not None:
        low, high = value - NORMAL * error, value + NORMAL * error
    return {"value": value, "low": low, "high": high, "degenerate": None}


def _bins(sums: BinSums, edges: Sequence[tuple[float, float]]) -> list[Bin]:
    rate, mean = ratio(sums.positive, sums.n), ratio(sums.score, sums.n)
    rows: list[Bin] = []
    for b in np.flatnonzero(sums.n[0]).tolist():
        band = interval(rate[:, b])
        rows.append(
            {
                "low": float(edges[b][0]),
                "high": float(edges[b][1]),
                "n": int(sums.n[0, b]),
                "mean_score": float(mean[0, b]),
                "positive_rate": float(rate[0, b]),
                "positive_rate_low": band["low"],
                "positive_rate_high": band["high"],
            }
        )
    return rows


def _curve(x: np.ndarray, smooth: np.ndarray) -> list[CurvePoint]:
    """The smooth curve at evenly spaced points of its range, with the resamples' band."""
    grid = x
    if len(x) > CURVE_POINTS:
        wanted = np.linspace(x[0], x[-1], CURVE_POINTS)
        grid = x[np.unique(np.abs(x[None, :] - wanted[:, None]).argmin(axis=1))]
    at = np.searchsorted(x, grid)
    rows: list[CurvePoint] = []
    for score, column in zip(grid, smooth[:, at].T, strict=True):
        band = interval(column)
        rows.append(
            {
                "score": float(score),
                "positive_rate": band["value"],
                "low": band["low"],
                "high": band["high"],
            }
        )
    return rows
