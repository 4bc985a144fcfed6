"""ROC and precision-recall curves of the sample, thinned for drawing, and their bands."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.resampling.binned_sums import BinnedSums
from deepecg_jax.evaluation.resampling.chunks import draw_blocks
from deepecg_jax.evaluation.resampling.draws import Resampler

_MOST_POINTS = 80
BAND_AT = np.linspace(0.0, 1.0, 101)
BAND_RESAMPLES = 100
CUTS, FIRST = 512, 32

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Band:
    """Pointwise 2.5th and 97.5th percentiles of y at each x of `BAND_AT`, (101,)."""

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
    corner = np.r_[
        True,
        np.abs(np.diff(x)[1:] * np.diff(y)[:-1] - np.diff(x)[:-1] * np.diff(y)[1:]) > 1e-15,
        True,
    ]
    return _thinned(x[corner], y[corner])


def pr_curve(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """(recall, precision) from the highest score down, at most 80 points; see `roc_curve`.

    The first point continues the precision of the highest score to recall 0.
    """
    true_positive, false_positive = (part[1:] for part in _sums(positive, scores))
    precision = true_positive / (true_positive + false_positive)
    recall = true_positive / true_positive[-1]
    return _thinned(np.r_[0.0, recall], np.r_[precision[0], precision])


class Bands:
    """Bands of the ROC and the precision-recall curve of one finding, over resamples.

    The curves of a resample are drawn through at most `CUTS` + `FIRST` thresholds, which stand
    so that between two of them lie at most 1/256 of the positive and 1/256 of the negative records.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> None:
        """Prepare M records.

        Args:
            positive, scores: (M,) of the records with a known label.
            rows: (M,) their rows in the table, of which a resampler draws.
        """
        order = np.argsort(-scores, kind="stable")
        hits = np.asarray(positive, bool)[order]
        new = np.r_[False, np.diff(scores[order]) != 0]
        if new.sum() >= CUTS:
            # a cut where the count of either class passes the next 1/256, at a change of score;
            # the first few positives have one each, since precision jumps there
            steps, so_far = CUTS // 2, (np.cumsum(hits), np.cumsum(~hits))
            passed = [own * steps // max(int(own[-1]), 1) for own in so_far]
            passed[0] += np.minimum(so_far[0], FIRST)
            starts = np.flatnonzero(new)
            at = np.r_[0, starts]
            # the state just before a change of score, which a cut there would show
            before = [np.r_[0, part[starts - 1]] for part in passed]
            later = [np.r_[part[starts - 1], part[-1]] for part in passed]
            wanted = np.any([x != y for x, y in zip(before, later, strict=True)], axis=0)
            new = np.zeros(len(hits), bool)
            new[at[np.flatnonzero(wanted[:-1]) + 1]] = True
        cell_of = np.cumsum(new)
        self._sums = BinnedSums(np.asarray(rows)[order], cell_of, hits, None)
        self._roc: list[np.ndarray] = []
        self._precision: list[np.ndarray] = []

    def add(self, counts: np.ndarray) -> None:
        """Draw the curves of more resamples; one without both classes is skipped.

        Counts are (R, N).
        """
        negative, positive = np.cumsum(self._sums(counts)[0], axis=1)
        for false_positive, true_positive in zip(negative.T, positive.T, strict=True):
            if not true_positive[-1] or not false_positive[-1]:
                continue
            sensitivity = true_positive / true_positive[-1]
            rate = false_positive / false_positive[-1]
            self._roc.append(np.interp(BAND_AT, np.r_[0.0, rate], np.r_[0.0, sensitivity]))
            # the precision at the first cut that reaches a recall
            at = np.searchsorted(sensitivity, BAND_AT)
            called = np.maximum(true_positive + false_positive, 1)
            self._precision.append((true_positive / called)[at])

    def finish(self) -> tuple[Band, Band]:
        """Of the ROC and of the precision-recall curve."""
        return _band(self._roc), _band(self._precision)


def curve_bands(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    resampler: Resampler,
    resamples: int = BAND_RESAMPLES,
) -> list[tuple[Band, Band]]:
    """Bands of the ROC and the precision-recall curve of each finding, over whole patients.

    Args:
        parts: (positive, scores, rows) of each finding, see `Bands`.
        resampler: as for the intervals; its first resamples are used, the same for every finding.
        resamples: how many.
    """
    n_records = len(resampler.cluster_of)
    bands = [Bands(*part) for part in parts]
    blocks = draw_blocks(n_records, resampler, resamples)
    next(blocks)  # the sample itself
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for counts in blocks:
            list(pool.map(lambda band, drawn=counts: band.add(drawn), bands))
    return [band.finish() for band in bands]


def _band(curves: list[np.ndarray]) -> Band:
    if not curves:
        return Band(BAND_AT[:0], BAND_AT[:0], BAND_AT[:0])
    low, high = np.percentile(np.stack(curves), (2.5, 97.5), axis=0)
    return Band(BAND_AT, low, high)


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
