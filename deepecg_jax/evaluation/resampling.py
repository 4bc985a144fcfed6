"""Which records are in which bootstrap resample, as counts.

Whole patients are drawn with replacement, because two ECGs of one patient are not two independent
pieces of evidence (the cluster bootstrap: Field and Welsh, J. R. Statist. Soc. B 69, 2007).
Resample ``r`` is a function of ``(seed, r)`` alone, so a run can be cut into blocks at will.
"""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError


@dataclass(frozen=True)
class Resampler:
    """Draws clusters (patients, or single records) with replacement.

    Attributes:
        cluster_of: (N,) int64, the cluster of each record, 0..n_clusters-1.
        n_clusters: how many clusters there are, and how many are drawn each time.
        seed: fixes every draw.
    """

    cluster_of: np.ndarray
    n_clusters: int
    seed: int

    @classmethod
    def of_patients(cls, patient_id: np.ndarray, seed: int) -> "Resampler":
        """Resample patients; every record of a drawn patient comes along.

        Raises:
            UserError: a record has no patient_id.
        """
        ids = np.asarray(patient_id).astype(str)
        missing = ids == ""
        if missing.any():
            raise UserError(
                f"{int(missing.sum())} records have no patient_id (first in row "
                f"{int(missing.argmax())}); fill it in, or treat every record as independent with "
                "--cluster none."
            )
        unique, cluster_of = np.unique(ids, return_inverse=True)
        return cls(cluster_of.astype(np.int64), len(unique), seed)

    @classmethod
    def of_records(cls, n_records: int, seed: int) -> "Resampler":
        """Resample single records."""
        return cls(np.arange(n_records), n_records, seed)

    def counts(self, start: int, stop: int) -> np.ndarray:
        """How often each record is in the resamples ``start`` .. ``stop - 1``.

        Returns:
            (stop - start, N) in the smallest of uint8, uint16, uint32 that holds the counts.
        """
        drawn = np.empty((stop - start, self.n_clusters), np.uint8)
        for row, r in enumerate(range(start, stop)):
            key = np.array([self.seed, r], np.uint64)
            rng = np.random.Generator(np.random.Philox(key=key))
            chosen = rng.integers(0, self.n_clusters, self.n_clusters)
            times = np.bincount(chosen, minlength=self.n_clusters)
            if times.max() > np.iinfo(drawn.dtype).max:
                drawn = drawn.astype(np.uint32)
            drawn[row] = times
        return narrow(drawn)[:, self.cluster_of]


def narrow(counts: np.ndarray) -> np.ndarray:
    """The same counts in the smallest of uint8, uint16, uint32 that holds them.

    Raises:
        UserError: a count is negative, fractional, or above 2^32 - 1.
    """
    counts = np.asarray(counts)
    if counts.size and not np.issubdtype(counts.dtype, np.unsignedinteger):
        if not np.issubdtype(counts.dtype, np.integer):
            raise UserError(f"Counts must be whole numbers; they come as {counts.dtype}.")
        if counts.min() < 0:
            raise UserError(f"Counts must not be negative; the smallest is {counts.min()}.")
    largest = int(counts.max()) if counts.size else 0
    for dtype in (np.uint8, np.uint16, np.uint32):
        if largest <= np.iinfo(dtype).max:
            return counts.astype(dtype, copy=False)
    raise UserError(f"Counts must stay below 2^32; the largest is {largest}.")
