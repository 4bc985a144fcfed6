"""Running sums over an order of records, read off at a few places, for many resamples at once."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse


class RunningSums:
    """Sums of the first p records of an order, at chosen p.

    Only the stretches between two chosen places are summed, so that the cost is one addition a
    record and resample, and nothing of the length of the order is held.
    """

    def __init__(self, order: np.ndarray, places: Sequence[np.ndarray], n_records: int):
        """Prepare.

        Args:
            order: rows of records.
            places: arrays of any shape, each p in 0 .. len(order).
            n_records: N.
        """
        ends, index = np.unique(
            np.concatenate([np.ravel(own) for own in places]), return_inverse=True
        )
        sizes = np.cumsum([0, *(np.size(own) for own in places)])
        self._at = [index.ravel()[a:b] for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
        length = int(ends[-1]) if len(ends) else 0
        self._stretches = scipy.sparse.csr_matrix(
            (np.ones(length), np.asarray(order[:length], np.int32), np.r_[0, ends]),
            shape=(len(ends), n_records),
        )

    def __call__(self, counts: np.ndarray) -> list[np.ndarray]:
        """For each array of places (len, R); counts are (N, R) float64."""
        total = np.cumsum(np.asarray(self._stretches @ counts), axis=0)
        return [total[at] for at in self._at]
