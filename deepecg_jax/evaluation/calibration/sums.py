"""What every calibration measure is computed from: sums over groups of scores, in each resample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.calibration.local_regression import LocalRegression, points_of_values
from deepecg_jax.evaluation.resampling.binned_sums import BinnedSums

BINS = 10


def equal_width(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Index of each score's bin, (M,) of (M,); a bin holds its lower edge, the last holds 1 too."""
    return np.minimum((np.asarray(scores, np.float64) * bins).astype(int), bins - 1)


def mass_of_values(n: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Index of each value's bin when every bin holds as many records, up to ties.

    The record of rank r (from 0) among N goes to bin floor(r x bins / N). Equal scores share the
    bin of the first of them, so that a bin is a range of scores; bins may then stay empty.

    Args:
        n: (V,) how many records have each of V different scores in rising order.
        bins: how many.

    Returns:
        (V,).
    """
    before = np.cumsum(n) - n
    return before * bins // max(int(n.sum()), 1)


@dataclass(frozen=True)
class BinSums:
    """Per bin, each (R, K): records, positives, and the sum of the scores."""

    n: np.ndarray
    positive: np.ndarray
    score: np.ndarray

    def first(self, n_resamples: int) -> "BinSums":
        """Only the first resamples."""
        return BinSums(self.n[:n_resamples], self.positive[:n_resamples], self.score[:n_resamples])


@dataclass(frozen=True)
class Sums:
    """The sums of one finding in R resamples.

    Attributes:
        width: bins of equal width.
        mass: bins of equal mass in the sample; ``None`` for flattened findings (see `flattened`).
        squared: (R,) sum of score^2.
        product: (R,) sum of score x label.
        smooth: (R, P) the smoothed share of positives at `Layout.x`, cut to 0..1; ``None`` if
            flattened.
        smooth_n: (R, P) records at `Layout.x`.
    """

    width: BinSums
    mass: BinSums | None
    squared: np.ndarray
    product: np.ndarray
    smooth: np.ndarray | None
    smooth_n: np.ndarray | None

    @classmethod
    def flattened(cls, findings: Sequence["Sums"]) -> "Sums":
        """All records of all findings together: bins of equal width only."""
        widths = [own.width for own in findings]
        return cls(
            BinSums(
                np.sum([own.n for own in widths], axis=0),
                np.sum([own.positive for own in widths], axis=0),
                np.sum([own.score for own in widths], axis=0),
            ),
            None,
            np.sum([own.squared for own in findings], axis=0),
            np.sum([own.product for own in findings], axis=0),
            None,
            None,
        )

    @classmethod
    def concatenate(cls, blocks: Sequence["Sums"]) -> "Sums":
        """Stack blocks of resamples."""

        def bins(parts: Sequence[BinSums]) -> BinSums:
            return BinSums(
                np.concatenate([part.n for part in parts]),
                np.concatenate([part.positive for part in parts]),
                np.concatenate([part.score for part in parts]),
            )

        smooth = [b.smooth for b in blocks if b.smooth is not None]
        smooth_n = [b.smooth_n for b in blocks if b.smooth_n is not None]
        mass = [b.mass for b in blocks if b.mass is not None]
        return cls(
            bins([b.width for b in blocks]),
            bins(mass) if mass else None,
            np.concatenate([b.squared for b in blocks]),
            np.concatenate([b.product for b in blocks]),
            np.concatenate(smooth) if smooth else None,
            np.concatenate(smooth_n) if smooth_n else None,
        )


class Layout:
    """Where each record of a finding is counted; made once, used for every resample.

    Bins of both kinds and points of the smooth curve are ranges of the score. Cutting the scores
    wherever one of them begins gives a few hundred cells, whose sums, for each class apart, add up
    to all the others: a record is read once a resample instead of once a sum.
    """

    def __init__(self, rows: np.ndarray, positive: np.ndarray, scores: np.ndarray):
        """Prepare M items (a finding's records with a known label).

        Args:
            rows: (M,) the record of each item.
            positive: (M,) bool.
            scores: (M,) in 0..1.
        """
        scores = np.asarray(scores, np.float64)
        values, value_of, n = np.unique(scores, return_inverse=True, return_counts=True)
        width, mass = equal_width(values), mass_of_values(n)
        self.x, point = points_of_values(values, n)
        begins = np.r_[True, (np.diff(width) != 0) | (np.diff(mass) != 0) | (np.diff(point) != 0)]
        cell_of = np.cumsum(begins) - 1
        self._cells = BinnedSums(rows, cell_of[value_of], positive, scores)
        self._width, self._mass, self._point = width[begins], mass[begins], point[begins]
        self._smoother = LocalRegression(
            self.x, np.bincount(point, n, len(self.x)).astype(np.int64)
        )
        self.edges = equal_mass_edges(values, mass)

    def sums(self, counts: np.ndarray) -> Sums:
        """Sum over the records of each resample; counts are (R, N)."""
        n, score, squared = self._cells(counts)
        every, positive = n.sum(axis=0), n[1]

        def bins(index: np.ndarray) -> BinSums:
            parts = (every, positive, score.sum(axis=0))
            return BinSums(*(_added(part, index, BINS) for part in parts))

        at_points = (_added(part, self._point, len(self.x)) for part in (every, positive))
        smooth_n, smooth_positive = at_points
        smooth = np.clip(self._smoother(smooth_n, smooth_positive), 0.0, 1.0)
        return Sums(
            bins(self._width),
            bins(self._mass),
            squared.sum(axis=(0, 1)),
            score[1].sum(axis=0),
            smooth,
            smooth_n,
        )


def _added(values: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """(R, size): sums of (K, R) over the cells of each index, which rises with the cells."""
    total = np.zeros((size, values.shape[1]))
    starts = np.flatnonzero(np.r_[True, np.diff(index) != 0])
    total[index[starts]] = np.add.reduceat(values, starts, axis=0)
    return np.ascontiguousarray(total.T)


def equal_mass_edges(values: np.ndarray, index: np.ndarray) -> list[tuple[float, float]]:
    """(lowest, highest) score in each of the `BINS` bins, NaN for an empty one."""
    edges = []
    for b in range(BINS):
        inside = values[index == b]
        edges.append((float(inside.min()), float(inside.max())) if len(inside) else (np.nan,) * 2)
    return edges
