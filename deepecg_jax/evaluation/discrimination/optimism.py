"""What fitting a threshold on the reported data flatters, estimated and taken off.

Each resample fits its own threshold, as the sample did. The threshold's metric on the resample
minus its metric on the sample, averaged over resamples, is the optimism; the metric of the sample
minus the optimism is the corrected value (Efron and Gong, Am. Stat. 37, 1983; Harrell, Lee and
Mark, Statist. Med. 15, 1996).
"""

from collections.abc import Sequence

import numpy as np

from deepecg_jax.evaluation.discrimination.results import Corrected, Optimism
from deepecg_jax.evaluation.discrimination.thresholds import ThresholdMethod, fitted_in_resamples
from deepecg_jax.evaluation.metrics.table import names as metric_names
from deepecg_jax.evaluation.metrics.table import values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.defined import mean_defined, number
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.tallies import Tallies, comparable_thresholds

MOST_RESAMPLES = 200
"""An average needs fewer resamples than a percentile."""
_BLOCK_CELLS = 4_000_000


def threshold_optimism(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    method: ThresholdMethod,
    resampler: Resampler,
    resamples: int,
    weights: np.ndarray | None = None,
) -> Optimism:
    """Apparent, optimism and corrected value of each threshold metric.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C).
        names: the C findings.
        method: how thresholds are fitted.
        resampler: draws the resamples.
        resamples: how many; at most 200 are used.
        weights: (N,) how much each record counts.
    """
    metrics = metric_names("optimism")
    resamples = min(resamples, MOST_RESAMPLES)
    weight = np.ones(len(labels)) if weights is None else weights
    own = weight[:, None] if weights is not None else np.ones((len(labels), 1), np.int64)
    gaps = {metric: np.full((resamples, len(names)), np.nan) for metric in metrics}
    apparent = {metric: np.full(len(names), np.nan) for metric in metrics}
    fits = np.zeros(len(names), bool)
    for j in range(len(names)):
        fitted = fitted_in_resamples(labels[:, j], scores[:, j], own, method)
        at = _at_thresholds(labels[:, j], scores[:, j], own, fitted)
        fits[j] = np.isfinite(fitted[0])
        for metric in metrics:
            apparent[metric][j] = at[metric][0] if fits[j] else np.nan
    block = max(1, _BLOCK_CELLS // len(labels))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        counts = np.ascontiguousarray(resampler.counts(start, stop).T)
        drawn = counts if weights is None else counts * weight[:, None]
        for j in range(len(names)):
            if not fits[j]:
                continue
            fitted = fitted_in_resamples(labels[:, j], scores[:, j], drawn, method)
            inside = _at_thresholds(labels[:, j], scores[:, j], drawn, fitted)
            outside = _at_thresholds(labels[:, j], scores[:, j], own, fitted)
            for metric in metrics:
                gap = np.where(np.isnan(fitted), np.nan, inside[metric] - outside[metric])
                gaps[metric][start:stop, j] = gap
    optimism = {metric: mean_defined(gap.T) for metric, gap in gaps.items()}

    def shown(metric: str, value: float, gap: float) -> Corrected:
        return {
            "apparent": number(value),
            "optimism": number(gap),
            "corrected": number(value - gap),
        }

    return {
        "resamples": resamples,
        "findings": {
            name: {m: shown(m, apparent[m][j], optimism[m][j]) for m in metrics}
            for j, name in enumerate(names)
            if fits[j]
        },
        "macro": {
            m: shown(m, float(mean_defined(apparent[m])), float(mean_defined(optimism[m])))
            for m in metrics
        },
    }


def _at_thresholds(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of one finding in each resample (or in the one given) at its threshold.

    Args:
        labels, scores: (N,).
        counts: (N, R), or (N, 1) for one sample that all thresholds are applied to.
        thresholds: (R,).

    Returns:
        metric -> (R,).
    """
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
    sums = Tallies(*(cell[:, None] for cell in (*cells, zero, zero)))
    return {m: v[:, 0] for m, v in values(Resampled.of_sums(sums), "optimism").items()}
