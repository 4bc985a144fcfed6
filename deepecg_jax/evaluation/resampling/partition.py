"""Groups that overlap, cut into cells that do not, so that each record is summed once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.resampling.tallies import Tallies, tally

_MANY = 2**40


@dataclass(frozen=True)
class Partition:
    """The coarsest partition of N records of which every group is a union.

    Attributes:
        rows: the records of each cell.
        members: group -> (cells,) bool, the cells it consists of.
    """

    rows: list[np.ndarray]
    members: dict[str, np.ndarray]

    @classmethod
    def of(cls, n_records: int, groups: Mapping[str, np.ndarray]) -> "Partition":
        """The cells of groups that are given as (N,) bool."""
        code = np.zeros(n_records, np.int64)
        for mask in groups.values():
            code = 2 * code + mask
            if code.max(initial=0) > _MANY:
                code = np.unique(code, return_inverse=True)[1]
        found, first, code, size = np.unique(
            code, return_index=True, return_inverse=True, return_counts=True
        )
        if len(found) == 1:
            rows = [np.arange(n_records)]
        else:
            rows = np.split(np.argsort(code, kind="stable"), np.cumsum(size)[:-1])
        return cls(rows, {name: mask[first] for name, mask in groups.items()})

    def tally(
        self, counts: np.ndarray, labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray
    ) -> list[Tallies]:
        """Sums over all records, then over those of each group; see `tallies.tally`."""
        parts = [tally(counts, labels, scores, thresholds, rows) for rows in self.rows]
        sums = [Tallies.total(parts)]
        for own in self.members.values():
            inside = [part for part, use in zip(parts, own, strict=True) if use]
            sums.append(Tallies.total(inside or [parts[0].nothing()]))
        return sums
