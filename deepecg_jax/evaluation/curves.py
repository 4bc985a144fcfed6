"""ROC and precision-recall curves of the sample, thinned for drawing, and their bands."""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.resampling import Resampler

_MOST_POINTS = 80
GRID = np.linspace(0.0, 1.0, 101)
BAND_RESAMPLES = 100
_BLOCK = 8_000_000  # counts in memory at once

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Band:
    """Pointwise 2.5th and 97.5th percentiles of y at each x of the grid, (101,)."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """(false-positive rate, true-positive rate) from (0, 0) to (1, 1), at most 80 points.

    Points in the middle of a straight stretch are dropped first; what is left is thinned evenly
    along the curve's length, so that the steep rise keeps its shape.

    Args:
        positive: (M,) bool, both classes present.
        scores: (M,).
    """
    true_positive, false_positive = _sums(positive, scores)
    y, x = true_positive / true_positive[-1], false_positive / false_positive[-1]
    corner = np.r_[True, np.abs(np.diff(x)[1:] * np.diff(y)[:-1] - np.diff(x)[:-1] * np.diff(y)[1:])
                   > 1e-15, True]  # fmt: skip
    return _thinned(x[corner], y[corner])


def pr_curve(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """(recall, precision) from the highest score down, at most 80 points; see `roc_curve`.

    The first point continues the precision of the highest score to recall 0.
    """
    true_positive, false_positive = (part[1:] for part in _sums(positive, scores))
    precision = true_positive / (true_positive + false_positive)
    recall = true_positive / true_positive[-1]
    return _thinned(np.r_[0.0, recall], np.r_[precision[0], precision])


def curve_bands(
    positive: np.ndarray,
    scores: np.ndarray,
    rows: np.ndarray,
    resampler: Resampler,
    resamples: int = BAND_RESAMPLES,
) -> tuple[Band, Band]:
    """Bands of the ROC and the precision-recall curve over resamples of whole patients.

    Args:
        positive, scores: (M,) of the records with a known label.
        rows: (M,) their rows in the table, of which the resampler draws.
        resampler: as for the intervals; its first resamples are used.
        resamples: how many; a resample without both classes is skipped.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = positive[order]
    roc, precision_recall = [], []
    step = max(1, _BLOCK // max(len(resampler.cluster_of), 1))
    for start in range(0, resamples, step):
        counts = resampler.counts(start, min(start + step, resamples))
        for drawn in counts[:, rows[order]]:
            true_positive = np.cumsum(np.where(hits, drawn, 0), dtype=np.int64)[last]
            called = np.cumsum(drawn, dtype=np.int64)[last]
            false_positive = called - true_positive
            if not true_positive[-1] or not false_positive[-1]:
                continue
            sensitivity = true_positive / true_positive[-1]
            roc.append(
                np.interp(
                    GRID, np.r_[0.0, false_positive / false_positive[-1]], np.r_[0.0, sensitivity]
                )  # fmt: skip
            )
            # the precision at the first cut that reaches a recall
            at = np.searchsorted(sensitivity, GRID)
            precision_recall.append((true_positive / np.maximum(called, 1))[at])
    return _band(roc), _band(precision_recall)


def _band(curves: list[np.ndarray]) -> Band:
    if not curves:
        return Band(GRID[:0], GRID[:0], GRID[:0])
    low, high = np.percentile(np.stack(curves), (2.5, 97.5), axis=0)
    return Band(GRID, low, high)


def _sums(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each cut between different scores, from none to all."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], positive[order]
    last_of_score = np.r_[ranked[1:] != ranked[:-1], True]
    return (
        np.r_[0, np.cumsum(hits)[last_of_score]],
        np.r_[0, np.cumsum(~hits)[last_of_score]],
    )


def _thinned(x: np.ndarray, y: np.ndarray) -> Curve:
    if len(x) > _MOST_POINTS:
        length = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
        wanted = np.linspace(0, length[-1], _MOST_POINTS)
        keep = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(x) - 1))
        x, y = x[keep], y[keep]
    return list(zip(x.tolist(), y.tolist(), strict=True))
