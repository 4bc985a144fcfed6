"""Resamples side by side: the sample itself and its resamples as blocks of counts."""

from collections.abc import Iterator

import numpy as np

from deepecg_jax.evaluation.resampling.draws import Resampler

_MOST_COUNTS = 2e7
_MOST_DRAWN = 1e8


def count_blocks(
    n_records: int, resampler: Resampler | None, resamples: int, most: int = 256
) -> Iterator[np.ndarray]:
    """How often each record is drawn: first once each (the sample), then block by block.

    Args:
        n_records: N.
        resampler: draws the resamples; ``None`` for the sample alone.
        resamples: how many.
        most: resamples in a block at most; fewer when N is large, so that memory stays bounded.

    Yields:
        (N, lanes) float64, C-contiguous: the lanes of a record lie side by side.
    """
    yield np.ones((n_records, 1))
    if resampler is None:
        return
    size = int(np.clip(_MOST_COUNTS // max(n_records, 1), 4, most))
    for start in range(0, resamples, size):
        drawn = resampler.counts(start, min(start + size, resamples))
        yield np.ascontiguousarray(drawn.T).astype(np.float64)


def draw_blocks(
    n_records: int, resampler: Resampler | None, resamples: int, most: int = 256
) -> Iterator[np.ndarray]:
    """The same as `count_blocks`, each (lanes, N) in the smallest unsigned type: a resample's
    counts lie side by side."""
    yield np.ones((1, n_records), np.uint8)
    if resampler is None:
        return
    size = int(np.clip(_MOST_DRAWN // max(n_records, 1), 8, most))
    for start in range(0, resamples, size):
        yield resampler.counts(start, min(start + size, resamples))
