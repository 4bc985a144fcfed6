"""Which records are in which bootstrap resample, as counts.

Whole patients are drawn with replacement, because two ECGs of one patient are not two independent
pieces of evidence (the cluster bootstrap: Field and Welsh, J. R. Statist. Soc. B 69, 2007).
Resample ``r`` is a function of ``(seed, r)`` alone, so a run can be cut into blocks at will.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict

from deepecg_jax.errors import UserError

JACKKNIFE_GROUPS = 512
"""At most so many groups of patients are left out in turn; see `Resampler.jackknife`."""


class StrataSizes(TypedDict):
    """``clusters``: stratum -> how many it holds; ``in_several``: clusters whose records lie in
    more than one stratum."""

    clusters: dict[str, int]
    in_several: int


@dataclass(frozen=True)
class Resampler:
    """Draws clusters (patients, or single records) with replacement.

    Attributes:
        cluster_of: (N,) int64, the cluster of each record, 0..n_clusters-1.
        n_clusters: how many clusters there are, and how many are drawn each time.
        seed: fixes every draw.
        stratum_of: (n_clusters,) int64, the stratum of each cluster; as many clusters are drawn
            from a stratum as it has. ``None``: one stratum.
    """

    cluster_of: np.ndarray
    n_clusters: int
    seed: int
    stratum_of: np.ndarray | None = None

    @classmethod
    def of_patients(cls, patient_id: np.ndarray, seed: int) -> "Resampler":
        """Resample patients; every record of a drawn patient comes along.

        Raises:
            UserError: a record has no patient_id.
        """
        ids = np.asarray(patient_id)
        if ids.dtype != object or not all(isinstance(value, str) for value in ids):
            ids = ids.astype(str).astype(object)
        missing = ids == ""
        if missing.any():
            raise UserError(
                f"{int(missing.sum())} records have no patient_id (first in row "
                f"{int(missing.argmax())}); fill it in, or treat every record as independent with "
                "--cluster none."
            )
        # clusters are numbered in the order of their ids; hashing beats sorting ten million texts
        encoded = pa.array(ids, pa.string()).dictionary_encode()
        order = pc.call_function("array_sort_indices", [encoded.dictionary]).to_numpy()
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return cls(place[encoded.indices.to_numpy()], len(order), seed)

    @classmethod
    def of_records(cls, n_records: int, seed: int) -> "Resampler":
        """Resample single records."""
        return cls(np.arange(n_records), n_records, seed)

    def stratified(self, values: np.ndarray) -> tuple["Resampler", StrataSizes]:
        """Draw within strata, so that every resample has each stratum's number of clusters.

        A patient with records in several strata belongs to the one that holds most of them (of
        equals the first in alphabetical order).

        Args:
            values: (N,) the stratum of each record, such as its site; empty is a stratum too.

        Returns:
            the resampler, and the sizes of the strata.
        """
        names, code = np.unique(np.asarray(values).astype(str), return_inverse=True)
        pairs, records = np.unique(
            np.stack([self.cluster_of, code.reshape(-1)]), axis=1, return_counts=True
        )
        # by cluster, then most records first, then the stratum's name
        order = np.lexsort((pairs[1], -records, pairs[0]))
        cluster, first, strata = np.unique(pairs[0, order], return_index=True, return_counts=True)
        assert len(cluster) == self.n_clusters
        stratum_of = pairs[1, order][first]
        sizes = np.bincount(stratum_of, minlength=len(names))
        about: StrataSizes = {
            "clusters": {str(name): int(n) for name, n in zip(names, sizes, strict=True) if n},
            "in_several": int((strata > 1).sum()),
        }
        return Resampler(self.cluster_of, self.n_clusters, self.seed, stratum_of), about

    def counts(self, start: int, stop: int) -> np.ndarray:
        """How often each record is in the resamples ``start`` .. ``stop - 1``.

        Returns:
            (stop - start, N) in the smallest of uint8, uint16, uint32 that holds the counts.
        """
        strata = _members(self.stratum_of)
        drawn = np.empty((stop - start, self.n_clusters), np.uint8)
        for row, r in enumerate(range(start, stop)):
            key = np.array([self.seed, r], np.uint64)
            rng = np.random.Generator(np.random.Philox(key=key))
            if strata is None:
                chosen = rng.integers(0, self.n_clusters, self.n_clusters)
            else:
                chosen = np.concatenate([m[rng.integers(0, len(m), len(m))] for m in strata])
            times = np.bincount(chosen, minlength=self.n_clusters)
            if times.max() > np.iinfo(drawn.dtype).max:
                drawn = drawn.astype(np.uint32)
            drawn[row] = times
        return narrow(drawn)[:, self.cluster_of]

    @property
    def jackknife_rows(self) -> int:
        """How many times something is left out by `jackknife`."""
        return min(self.n_clusters, JACKKNIFE_GROUPS)

    def jackknife(self, start: int, stop: int) -> np.ndarray:
        """Counts with one cluster left out at a time, the rows ``start`` .. ``stop - 1`` of them.

        With more than `JACKKNIFE_GROUPS` clusters, random groups of nearly equal size are left out
        instead (the delete-a-group jackknife). The acceleration of BCa, a third moment over the
        square root of n, is unchanged in expectation; with 512 groups its noise is about
        sqrt(6 / 512) / (6 sqrt(512)) = 0.0008, far below what moves a percentile.

        Returns:
            (stop - start, N) uint8.
        """
        group_of = np.arange(self.n_clusters)
        if self.n_clusters > JACKKNIFE_GROUPS:
            key = np.array([self.seed, 2**63], np.uint64)  # no resample has this number
            rng = np.random.Generator(np.random.Philox(key=key))
            group_of = rng.permutation(self.n_clusters) % JACKKNIFE_GROUPS
        of_record = group_of[self.cluster_of]
        return np.stack([of_record != row for row in range(start, stop)]).astype(np.uint8)


@dataclass(frozen=True)
class Sweep:
    """The rows that every metric is computed on: the sample, its resamples, and the jackknife.

    Attributes:
        resampler: draws the resamples.
        resamples: R.
        with_jackknife: whether leave-one-out rows follow, which BCa intervals need.
    """

    resampler: Resampler
    resamples: int
    with_jackknife: bool = False

    @property
    def rows(self) -> int:
        """1 + R, and the number of jackknife rows."""
        return 1 + self.resamples + self.jackknife_rows

    @property
    def jackknife_rows(self) -> int:
        """Jackknife rows at the end, 0 without."""
        return self.resampler.jackknife_rows if self.with_jackknife else 0

    def counts(self, start: int, stop: int) -> np.ndarray:
        """Counts of the rows ``start`` .. ``stop - 1``, (stop - start, N) unsigned."""
        drawn_end = 1 + self.resamples
        parts = []
        if start < 1 and stop > start:
            parts.append(np.ones((1, len(self.resampler.cluster_of)), np.uint8))
        if start < drawn_end and stop > 1:
            parts.append(self.resampler.counts(max(start, 1) - 1, min(stop, drawn_end) - 1))
        if stop > drawn_end:
            first = max(start, drawn_end) - drawn_end
            parts.append(self.resampler.jackknife(first, stop - drawn_end))
        return np.concatenate(parts)


def _members(stratum_of: np.ndarray | None) -> list[np.ndarray] | None:
    """The clusters of each stratum; ``None`` when there is only one."""
    if stratum_of is None or len(np.unique(stratum_of)) == 1:
        return None
    return [np.flatnonzero(stratum_of == s) for s in np.unique(stratum_of)]


def narrow(counts: np.ndarray) -> np.ndarray:
    """The same counts in the smallest of uint8, uint16, uint32 that holds them.

    Args:
        counts: whole numbers of any shape, which the result has too.

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
