"""The block mask of ECG-JEPA (Weimann and Conrad 2024) as its description reads, for comparison.

It keeps a list of the intervals that are left, where `deepecg_jax.objectives.masking.blocks` works
on a row of bits.
"""

import numpy as np


def weimann_block_mask(
    rng: np.random.Generator, n_tokens: int, kept: int, shortest: int = 10
) -> np.ndarray:
    """One row, (N,) bool, true where hidden; all but ``kept`` tokens are."""
    intervals = [(0, n_tokens)]
    left = n_tokens - kept
    while left:
        lengths = np.array([end - start for start, end in intervals])
        start, end = intervals.pop(rng.choice(len(intervals), p=lengths / lengths.sum()))
        if left < shortest:
            size = min(left, end - start)
            first = _first_of_remainder(rng, start, end, size, n_tokens)
        else:
            size = min(int(rng.integers(shortest, left + 1)), end - start)
            first = int(rng.integers(start, end - size + 1))
        left -= size
        pieces = [(start, first), (first + size, end)]
        intervals += [(a, b) for a, b in pieces if b > a]
    hidden = np.ones(n_tokens, bool)
    for start, end in intervals:
        hidden[start:end] = False
    return hidden


def _first_of_remainder(
    rng: np.random.Generator, start: int, end: int, size: int, n_tokens: int
) -> int:
    """A remainder extends a block: it lies at an edge that is no end of the row."""
    edges = ([start] if start > 0 else []) + ([end - size] if end < n_tokens else [])
    return int(rng.choice(edges)) if edges else int(rng.integers(start, end - size + 1))
