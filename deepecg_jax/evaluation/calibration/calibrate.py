"""Does a score of 0.2 mean that one in five has the finding?"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from deepecg_jax.evaluation.calibration.logistic import Recalibration, cox_recalibration
from deepecg_jax.evaluation.calibration.measures import MEASURES, calibration_error, measures
from deepecg_jax.evaluation.calibration.sums import BINS, BinSums, Layout, Sums, equal_width
from deepecg_jax.evaluation.discrimination.threshold_metrics import ratio
from deepecg_jax.evaluation.resampling.blocks import draw_blocks
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import interval, macro_interval, number

CURVE_POINTS = 101
_Z = 1.959963984540054


def reliability(positive: np.ndarray, scores: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error over bins of equal width, and the bins.

    Args:
        positive: (M,) bool.
        scores: (M,) in 0..1.

    Returns:
        ``ece`` and ``bins`` (``low``, ``high``, ``n``, ``mean_score``, ``positive_rate``), the
        empty ones left out.
    """
    index = equal_width(scores, bins)
    sums = BinSums(
        *(
            np.bincount(index, weights, bins)[None].astype(np.float64)
            for weights in (None, positive, np.asarray(scores, np.float64))
        )
    )
    edges = [(b / bins, (b + 1) / bins) for b in range(bins)]
    return {"ece": number(calibration_error(sums)[0]), "bins": _bins(sums, edges)}


def slope_and_intercept(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[float | None, float | None]:
    """(slope, intercept) of `logistic.cox_recalibration`."""
    found = cox_recalibration(positive, scores)
    return found.slope, found.intercept


def calibrate(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    resampler: Resampler | None = None,
    resamples: int = 0,
) -> dict[str, Any]:
    """The calibration part of ``metrics.json``.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C).
        names: the C findings.
        resampler: draws the resamples (whole patients); without it there are no intervals.
        resamples: how many.

    Returns:
        ``bins`` (how many), ``curve_intervals`` and ``slope_intervals`` (how intervals were made),
        and:

        * ``findings``: name -> ``n``, ``n_positive``, ``ece``, ``slope``, ``intercept`` (numbers or
          null), ``intervals``: every one of `MEASURES` and ``slope``, ``intercept`` as
          ``{value, low, high, degenerate}``; ``bins`` (equal width) and ``bins_equal_mass``: each
          ``{low, high, n, mean_score, positive_rate, positive_rate_low, positive_rate_high}``;
          ``curve``: the smooth curve, ``{score, positive_rate, low, high}`` at up to 101 scores;
        * ``macro``: ``ece`` and ``intervals``, means over the findings with both classes;
        * ``micro``: all records x findings: ``ece``, ``intervals`` (without the measures that need
          a smooth curve or bins of equal mass) and ``bins``.

        Every record counts once, whatever its weight in the table.
        Intervals of slope and intercept are Wald's with cluster-robust errors; the others are
        percentiles over the resamples, in which bins and smoothing windows stay as they are.
    """
    known = labels >= 0

    def prepare(j: int) -> tuple[Layout, Recalibration] | None:
        own = np.flatnonzero(known[:, j])
        if not len(own):
            return None
        positive = labels[own, j] == 1
        clusters = None if resampler is None else resampler.cluster_of[own]
        return (
            Layout(own, positive, scores[own, j]),
            cox_recalibration(positive, scores[own, j], clusters),
        )

    findings, drawn = {}, np.full((len(MEASURES), 1 + resamples, len(names)), np.nan)
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
        drawn[:, :, j] = [values[measure] for measure in MEASURES]
        positives, records = (
            total.sum(axis=1) for total in (sums[j].width.positive, sums[j].width.n)
        )
        both[:, j] = (positives > 0) & (positives < records)
        findings[name] = _finding(part[0], sums[j], values, part[1])
    flat = Sums.flattened(list(sums.values()))
    macro = {measure: macro_interval(drawn[m], both) for m, measure in enumerate(MEASURES)}
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
    layout: Layout, sums: Sums, values: Mapping[str, np.ndarray], cox: Recalibration
) -> dict[str, Any]:
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


def _unlabelled() -> dict[str, Any]:
    """A finding of which nothing is known."""
    nothing = interval(np.array([np.nan]))
    return {
        "n": 0,
        "n_positive": 0,
        "ece": None,
        "slope": None,
        "intercept": None,
        "intervals": {measure: nothing for measure in (*MEASURES, "slope", "intercept")},
        "bins": [],
        "bins_equal_mass": [],
        "curve": [],
    }


def _wald(value: float | None, error: float | None) -> dict[str, Any]:
    low = high = None
    if value is not None and error is not None:
        low, high = value - _Z * error, value + _Z * error
    return {"value": value, "low": low, "high": high, "degenerate": None}


def _bins(sums: BinSums, edges: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    rate, mean = ratio(sums.positive, sums.n), ratio(sums.score, sums.n)
    rows = []
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


def _curve(x: np.ndarray, smooth: np.ndarray) -> list[dict[str, Any]]:
    """The smooth curve at evenly spaced points of its range, with the resamples' band."""
    grid = x
    if len(x) > CURVE_POINTS:
        wanted = np.linspace(x[0], x[-1], CURVE_POINTS)
        grid = x[np.unique(np.abs(x[None, :] - wanted[:, None]).argmin(axis=1))]
    at = np.searchsorted(x, grid)
    rows = []
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
