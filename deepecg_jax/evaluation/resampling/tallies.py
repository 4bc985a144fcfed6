"""Weighted sums over records, of every finding in every resample, as matrix products."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 8192
_EXACT_IN_FLOAT32 = 2**24


@dataclass(frozen=True)
class Tallies:
    """Weighted sums, each (R, C) float64; the counts among them are exact integers.

    The four cells of the confusion matrix are summed one by one and never obtained by subtraction,
    so that with fractional weights an empty cell is exactly 0.

    Attributes:
        true_positive: records that have the finding and score at or above the threshold.
        false_positive: records without the finding that do so.
        false_negative: records that have the finding and score below the threshold.
        true_negative: records without the finding that do so.
        squared_error: sum of (score - label)^2 over known labels.
        expected: sum of the scores over known labels.
    """

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray
    squared_error: np.ndarray
    expected: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Records with a known label that score at or above the threshold."""
        return self.true_positive + self.false_positive

    @property
    def predicted_negative(self) -> np.ndarray:
        """Records with a known label that score below the threshold."""
        return self.true_negative + self.false_negative

    @property
    def positive(self) -> np.ndarray:
        """Records that have the finding."""
        return self.true_positive + self.false_negative

    @property
    def negative(self) -> np.ndarray:
        """Records that are known not to have the finding."""
        return self.false_positive + self.true_negative

    @property
    def known(self) -> np.ndarray:
        """Records whose label is known."""
        return self.positive + self.negative

    def pooled(self, findings: np.ndarray | list[int]) -> "Tallies":
        """The sums over a set of findings, flattened: (R, 1)."""
        return Tallies(*(part[:, findings].sum(axis=1, keepdims=True) for part in self._parts()))

    def first(self, n_resamples: int) -> "Tallies":
        """Only the first resamples."""
        return Tallies(*(part[:n_resamples] for part in self._parts()))

    def nothing(self) -> "Tallies":
        """Sums over no record, of the same shape."""
        return Tallies(*(np.zeros_like(part) for part in self._parts()))

    @classmethod
    def total(cls, parts: "Sequence[Tallies]") -> "Tallies":
        """The sums over several sets of records, added up in their order."""
        arrays = zip(*(part._parts() for part in parts), strict=True)
        return cls(*(functools.reduce(np.add, own) for own in arrays))

    def both_classes(self) -> np.ndarray:
        """(R, C) bool: at least one positive and one negative record."""
        return (self.positive > 0) & (self.negative > 0)

    def _parts(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def concatenate(cls, blocks: "list[Tallies]") -> "Tallies":
        """Stack blocks of resamples."""
        return cls(
            *(np.concatenate(parts) for parts in zip(*(b._parts() for b in blocks), strict=True))
        )


@functools.partial(jax.jit, static_argnames="exact_in_float32")
def _chunk_sums(
    counts: jax.Array,
    labels: jax.Array,
    scores: jax.Array,
    thresholds: jax.Array,
    *,
    exact_in_float32: bool,
) -> tuple:
    positive, negative = labels == 1, labels == 0
    reached = scores >= thresholds
    dtype = jnp.float32 if exact_in_float32 else jnp.float64
    cells = (positive & reached, negative & reached, positive & ~reached, negative & ~reached)
    indicators = jnp.concatenate([cell.astype(dtype) for cell in cells], axis=1)
    wide = scores.astype(jnp.float64)
    error = jnp.where(labels >= 0, wide - labels, 0.0)
    known_score = jnp.where(labels >= 0, wide, 0.0)
    amounts = jnp.concatenate([error * error, known_score], axis=1)

    weights = counts.T
    counted = jnp.matmul(weights.astype(dtype), indicators, precision="highest")
    summed = weights.astype(jnp.float64) @ amounts
    return (
        *jnp.split(counted.astype(jnp.float64), len(cells), axis=1),
        *jnp.split(summed, 2, axis=1),
    )


def tally(
    counts: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    rows: np.ndarray | None = None,
) -> Tallies:
    """Sum over records, a few thousand at a time.

    Args:
        counts: (N, R), how often each record is in each resample (unsigned integers), or its
            weight there (float64).
        labels: (N, C) int8, -1 unknown.
        scores: (N, C).
        thresholds: (C,) or (N, C), a score at or above it is positive.
        rows: only these records; ``None`` for all.
    """
    n = len(labels) if rows is None else len(rows)
    chunk = 256
    while chunk < min(n, _CHUNK):
        chunk *= 2
    whole = np.issubdtype(counts.dtype, np.integer)
    largest = int(counts.max()) if whole and counts.size else 0
    exact = whole and largest * _CHUNK < _EXACT_IN_FLOAT32
    limits = comparable_thresholds(thresholds, scores.dtype)
    width = len(fields(Tallies))
    total: tuple = tuple(np.zeros((counts.shape[1], labels.shape[1])) for _ in range(width))
    for start in range(0, n, chunk):
        stop = min(start + chunk, n)
        part = slice(start, stop) if rows is None else rows[start:stop]
        padding = ((0, chunk - (stop - start)), (0, 0))
        own_limits = limits if limits.ndim == 1 else np.pad(limits[part], padding)
        with jax.enable_x64(True):
            sums = _chunk_sums(
                np.pad(counts[part], padding),
                np.pad(labels[part], padding, constant_values=-1),
                np.pad(scores[part], padding),
                own_limits,
                exact_in_float32=exact,
            )
            total = tuple(t + np.asarray(s) for t, s in zip(total, sums, strict=True))
    return Tallies(*total)


def comparable_thresholds(thresholds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Thresholds of any shape in the scores' own type: 0.3 stored as float32 reaches 0.3."""
    return np.asarray(thresholds, dtype)
