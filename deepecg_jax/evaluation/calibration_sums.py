"""What every calibration measure is computed from: sums over groups of scores, in each resample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from deepecg_jax.evaluation.local_regression import LocalRegression, support

BINS = 10


def equal_width(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Index of each score's bin; a bin holds its lower edge, the last holds 1 too."""
    return np.minimum((np.asarray(scores, np.float64) * bins).astype(int), bins - 1)


def equal_mass(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Index of each score's bin when every bin holds as many records, up to ties.

    The record of rank r (from 0) among n goes to bin floor(r x bins / n). Equal scores share the
    bin of the first of them, so that a bin is a range of scores; bins may then stay empty.
    """
    _, index, n = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    before = np.cumsum(n) - n
    return (before * bins // max(len(scores), 1))[index]


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
        mass: bins of equal mass in the sample; ``None`` for flattened findings.
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
    """Where each record of a finding is counted; made once, used for every resample."""

    def __init__(
        self,
        rows: np.ndarray,
        positive: np.ndarray,
        scores: np.ndarray,
        n_records: int,
        flattened: bool = False,
    ):
        """Prepare M items (a finding's records with a known label, or several findings').

        Args:
            rows: (M,) the record of each item.
            positive: (M,) bool.
            scores: (M,) in 0..1.
            n_records: N.
            flattened: several findings together: bins of equal width only.
        """
        scores, y = np.asarray(scores, np.float64), np.asarray(positive, np.float64)
        width, mass = equal_width(scores), equal_mass(scores)
        self.x, point = support(scores)
        self._flattened = flattened
        parts = [(width, None), (width + BINS, y), (width + 2 * BINS, scores)]
        top = 3 * BINS
        parts += [(np.full(len(rows), top), scores**2), (np.full(len(rows), top + 1), scores * y)]
        top += 2
        if not flattened:
            parts += [(top + mass, None), (top + BINS + mass, y), (top + 2 * BINS + mass, scores)]
            top += 3 * BINS
            parts += [(top + point, None), (top + len(self.x) + point, y)]
            top += 2 * len(self.x)
            self._smoother = LocalRegression(self.x, np.bincount(point, minlength=len(self.x)))
        ones = np.ones(len(rows))
        values = np.concatenate([ones if value is None else value for _, value in parts])
        entries = (np.concatenate([at for at, _ in parts]), np.tile(rows, len(parts)))
        matrix = scipy.sparse.coo_matrix((values, entries), shape=(top, n_records)).tocsr()
        matrix.eliminate_zeros()
        self._matrix = matrix
        self.edges = equal_mass_edges(scores, mass)

    def sums(self, counts: np.ndarray) -> Sums:
        """Sum over the records of each resample; counts are (N, R) float64."""
        total = np.asarray(self._matrix @ counts).T
        take = _Columns(total)
        width = BinSums(take(BINS), take(BINS), take(BINS))
        squared, product = take(1)[:, 0], take(1)[:, 0]
        if self._flattened:
            return Sums(width, None, squared, product, None, None)
        mass = BinSums(take(BINS), take(BINS), take(BINS))
        n, positive = take(len(self.x)), take(len(self.x))
        smooth = np.clip(self._smoother(n, positive), 0.0, 1.0)
        return Sums(width, mass, squared, product, smooth, n)


def equal_mass_edges(scores: np.ndarray, index: np.ndarray) -> list[tuple[float, float]]:
    """(lowest, highest) score in each of the `BINS` bins, NaN for an empty one."""
    edges = []
    for b in range(BINS):
        inside = scores[index == b]
        edges.append((float(inside.min()), float(inside.max())) if len(inside) else (np.nan,) * 2)
    return edges


class _Columns:
    """Hands out the next columns of a matrix."""

    def __init__(self, matrix: np.ndarray):
        self._matrix, self._at = matrix, 0

    def __call__(self, n: int) -> np.ndarray:
        self._at += n
        return np.ascontiguousarray(self._matrix[:, self._at - n : self._at])
