"""Weighted sums over records, of every finding in every resample, as matrix products."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 8192
_EXACT_IN_FLOAT32 = 2**24


@dataclass(frozen=True)
class Tallies:
    """Weighted sums, each (R, C) float64; the counts among them are exact integers.

    Attributes:
        true_positive: records that have the finding and score at or above the threshold.
        predicted: records with a known label that score at or above the threshold.
        positive: records that have the finding.
        known: records whose label is known.
        squared_error: sum of (score - label)^2 over known labels.
    """

    true_positive: np.ndarray
    predicted: np.ndarray
    positive: np.ndarray
    known: np.ndarray
    squared_error: np.ndarray

    @property
    def negative(self) -> np.ndarray:
        """Records that are known not to have the finding."""
        return self.known - self.positive

    def pooled(self, findings: np.ndarray | list[int]) -> "Tallies":
        """The sums over a set of findings, flattened: (R, 1)."""
        return Tallies(*(part[:, findings].sum(axis=1, keepdims=True) for part in self._parts()))

    def first(self, n_resamples: int) -> "Tallies":
        """Only the first resamples."""
        return Tallies(*(part[:n_resamples] for part in self._parts()))

    def both_classes(self) -> np.ndarray:
        """(R, C) bool: at least one positive and one negative record."""
        return (self.positive > 0) & (self.negative > 0)

    def _parts(self) -> tuple[np.ndarray, ...]:
        return (
            self.true_positive,
            self.predicted,
            self.positive,
            self.known,
            self.squared_error,
        )

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
    known = labels >= 0
    positive = labels == 1
    predicted = known & (scores >= thresholds)
    dtype = jnp.float32 if exact_in_float32 else jnp.float64
    weights = counts.T.astype(dtype)

    def count(indicator: jax.Array) -> jax.Array:
        product = jnp.matmul(weights, indicator.astype(dtype), precision="highest")
        return product.astype(jnp.float64)

    error = jnp.where(known, scores.astype(jnp.float64) - labels, 0.0)
    squared = counts.T.astype(jnp.float64) @ (error * error)
    return (
        count(positive & predicted),
        count(predicted),
        count(positive),
        count(known),
        squared,
    )


def tally(
    counts: np.ndarray, labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray
) -> Tallies:
    """Sum over records.

    Args:
        counts: (N, R) unsigned, how often each record is in each resample.
        labels: (N, C) int8, -1 unknown.
        scores: (N, C).
        thresholds: (C,), a score at or above it is positive.
    """
    n = len(labels)
    chunk = 256
    while chunk < min(n, _CHUNK):
        chunk *= 2
    largest = int(counts.max()) if counts.size else 0
    exact = largest * _CHUNK < _EXACT_IN_FLOAT32
    limits = comparable_thresholds(thresholds, scores.dtype)
    total: tuple = tuple(np.zeros((counts.shape[1], labels.shape[1])) for _ in range(5))
    for start in range(0, n, chunk):
        part = slice(start, min(start + chunk, n))
        short = chunk - (part.stop - part.start)
        with jax.enable_x64(True):
            sums = _chunk_sums(
                np.pad(counts[part], ((0, short), (0, 0))),
                np.pad(labels[part], ((0, short), (0, 0)), constant_values=-1),
                np.pad(scores[part], ((0, short), (0, 0))),
                limits,
                exact_in_float32=exact,
            )
            total = tuple(t + np.asarray(s) for t, s in zip(total, sums, strict=True))
    return Tallies(*total)


def comparable_thresholds(thresholds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Thresholds as the score's own type: 0.3 stored as float32 reaches the threshold 0.3."""
    return np.asarray(thresholds, dtype)
