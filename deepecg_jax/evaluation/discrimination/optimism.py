"""What fitting a threshold on the reported data flatters, estimated and taken off.

Each resample fits its own threshold, as the sample did. The threshold's metric on the resample
minus its metric on the sample, averaged over resamples, is the optimism; the metric of the sample
minus the optimism is the corrected value (Efron and Gong, Am. Stat. 37, 1983; Harrell, Lee and
Mark, Statist. Med. 15, 1996).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepecg_jax.evaluation.discrimination.threshold_metrics import threshold_metrics
from deepecg_jax.evaluation.discrimination.thresholds import Method, fitted_in_resamples
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import mean_defined, number
from deepecg_jax.evaluation.resampling.tallies import Tallies, comparable_thresholds

METRICS = ("f1", "sensitivity", "specificity", "ppv", "npv", "accuracy")
MOST_RESAMPLES = 200
"""An average needs fewer resamples than a percentile."""
_BLOCK_CELLS = 4_000_000


def threshold_optimism(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    method: Method,
    resampler: Resampler,
    resamples: int,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Apparent, optimism and corrected value of each threshold metric.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C).
        names: the C findings.
        method: how thresholds are fitted.
        resampler: draws the resamples.
        resamples: how many; at most 200 are used.
        weights: (N,) how much each record counts.

    Returns:
        ``resamples``, ``findings`` (name -> metric -> ``apparent``, ``optimism``, ``corrected``)
        and ``macro``, the means over findings with both classes.
    """
    resamples = min(resamples, MOST_RESAMPLES)
    weight = np.ones(len(labels)) if weights is None else weights
    own = weight[:, None] if weights is not None else np.ones((len(labels), 1), np.int64)
    gaps = {metric: np.full((resamples, len(names)), np.nan) for metric in METRICS}
    apparent = {metric: np.full(len(names), np.nan) for metric in METRICS}
    for j in range(len(names)):
        fitted = fitted_in_resamples(labels[:, j], scores[:, j], own, method)
        at = _at_thresholds(labels[:, j], scores[:, j], own, fitted)
        for metric in METRICS:
            apparent[metric][j] = at[metric][0] if np.isfinite(fitted[0]) else np.nan
    block = max(1, _BLOCK_CELLS // len(labels))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        counts = np.ascontiguousarray(resampler.counts(start, stop).T)
        drawn = counts if weights is None else counts * weight[:, None]
        for j in range(len(names)):
            if np.isnan(apparent["accuracy"][j]):
                continue
            fitted = fitted_in_resamples(labels[:, j], scores[:, j], drawn, method)
            inside = _at_thresholds(labels[:, j], scores[:, j], drawn, fitted)
            outside = _at_thresholds(labels[:, j], scores[:, j], own, fitted)
            for metric in METRICS:
                gap = np.where(np.isnan(fitted), np.nan, inside[metric] - outside[metric])
                gaps[metric][start:stop, j] = gap
    optimism = {metric: mean_defined(gap.T) for metric, gap in gaps.items()}

    def shown(metric: str, value: float, gap: float) -> dict[str, Any]:
        return {
            "apparent": number(value),
            "optimism": number(gap),
            "corrected": number(value - gap),
        }

    return {
        "resamples": resamples,
        "findings": {
            name: {m: shown(m, apparent[m][j], optimism[m][j]) for m in METRICS}
            for j, name in enumerate(names)
            if not np.isnan(apparent["accuracy"][j])
        },
        "macro": {
            m: shown(m, float(mean_defined(apparent[m])), float(mean_defined(optimism[m])))
            for m in METRICS
        },
    }


def _at_thresholds(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
    """Threshold metrics of one finding in each resample (or in the one given) at its threshold."""
    limits = comparable_thresholds(np.nan_to_num(thresholds, nan=0.5), scores.dtype)
    reached = scores[:, None] >= limits[None, :]
    positive, negative = (labels == 1)[:, None], (labels == 0)[:, None]
    cells = [
        np.where(truth & called, counts, 0).sum(axis=0, dtype=np.float64)
        for truth, called in (
            (positive, reached),
            (negative, reached),
            (positive, ~reached),
            (negative, ~reached),
        )
    ]
    zero = np.zeros(len(limits))
    return threshold_metrics(Tallies(*cells, squared_error=zero, expected=zero))
