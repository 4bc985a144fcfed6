"""Sums over the records of cells, such as ranges of the score, in each resample."""

import numpy as np

BLOCK = 2**18
"""Records that are picked at once."""


class BinnedSums:
    """Sums over the records of each cell and class, for any counts."""

    def __init__(
        self,
        rows: np.ndarray,
        cell_of: np.ndarray,
        positive: np.ndarray,
        scores: np.ndarray | None,
    ):
        """Prepare M items.

        Args:
            rows: (M,) the record of each item.
            cell_of: (M,) its cell, 0 .. K-1, all of which occur.
            positive: (M,) bool.
            scores: (M,) float64, or ``None`` if only records are counted.
        """
        self._cells = int(cell_of.max(initial=-1)) + 1
        code = cell_of + self._cells * np.asarray(positive, bool)
        order = np.argsort(code, kind="stable")
        self._rows = np.asarray(rows, np.int32)[order]
        self._scores = None if scores is None else scores[order]
        ends = np.searchsorted(code[order], np.arange(2 * self._cells + 1))
        self._blocks = _blocks(ends, BLOCK)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Records, sum of scores and of their squares: (3, 2, K, R), or (1, 2, K, R) without
        scores; the second axis is the class, and counts are (R, N).

        A resample and a few hundred thousand records at a time, so that what is picked stays in
        the cache.
        """
        parts = 1 if self._scores is None else 3
        total = np.zeros((len(counts), parts, 2 * self._cells))
        for drawn, sums in zip(counts, total, strict=True):
            for block, starts, cells in self._blocks:
                amount = np.take(drawn, self._rows[block]).astype(np.float64)
                for part in sums:
                    part[cells] += np.add.reduceat(amount, starts)
                    if self._scores is not None:
                        amount *= self._scores[block]
        return np.moveaxis(total, 0, -1).reshape(parts, 2, self._cells, len(counts))


def _blocks(ends: np.ndarray, size: int) -> list[tuple[slice, np.ndarray, np.ndarray]]:
    """(records, where each cell begins among them, those cells) of blocks of sorted records.

    Args:
        ends: (cells + 1,) where each cell begins, and the number of records at the end.
        size: records in a block.
    """
    blocks = []
    for first in range(0, int(ends[-1]), size):
        last = min(first + size, int(ends[-1]))
        cells = np.flatnonzero((ends[1:] > first) & (ends[:-1] < last) & (ends[1:] > ends[:-1]))
        starts = np.maximum(ends[cells], first) - first
        blocks.append((slice(first, last), starts, cells))
    return blocks
