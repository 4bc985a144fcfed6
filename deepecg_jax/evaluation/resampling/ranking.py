"""Sorting scores once, so that every resample costs one pass of additions.

AUROC and average precision of a resample depend on the order of the scores, which no resample
changes, and on how often each record is drawn. A `RankPlan` is that order, written as a table of
steps from the highest score down. A step adds the counts of up to ``width`` negatives and of at
most one positive; the kernel in `walk` walks the table once for many resamples side by side.
Negatives below the last positive change nothing but the number of negatives, and are left out.

`Ranking` makes the tables when they are asked for, in slices of falling score when there are very
many items, so that flattening 77 findings of a million records needs no sort of 77 million.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MARK_AFTER = 1
"""Flag: a tie group with positives starts here, after this step's negatives."""
MARK_BEFORE = 2
"""Flag: a tie group with positives starts here, and this step's negatives belong to it."""
CLOSE = 4
"""Flag: the last positive of a tie group; the group's contribution can be counted."""

# A step costs about as much as 13 additions of a row of counts (measured on x86-64 with 512
# resamples side by side), so common findings want narrow steps and rare ones wide steps.
_WIDTHS = (4, 16)
_STEP_COST = 13

SLICE = 2**21
"""Items that are sorted at once; more are cut into slices by score."""
_MOST_SLICES = 16
_SAMPLE = 100_000


@dataclass(frozen=True)
class RankPlan:
    """The order of one set of scored items (a finding, or several findings flattened).

    Attributes:
        table: (steps, 2 + width) int32: flags, row of the positive, rows of the negatives. A row is
            an index of a record; ``n_records`` stands for "nobody".
        n_records: number of records that rows refer to.
        largest_multiplicity: how often one record occurs at most (findings flattened together).
    """

    table: np.ndarray
    n_records: int
    largest_multiplicity: int

    @property
    def width(self) -> int:
        """Negatives a step."""
        return self.table.shape[1] - 2


def plan_ranking(
    rows: np.ndarray,
    positive: np.ndarray,
    scores: np.ndarray,
    n_records: int,
    keep_tail: bool = False,
) -> RankPlan:
    """Sort M items and cut them into steps.

    Args:
        rows: (M,) the record of each item, 0..n_records-1.
        positive: (M,) bool, the item's label.
        scores: (M,) the item's score; equal scores tie.
        n_records: number of records.
        keep_tail: keep the negatives below the last positive, because more items will follow.
    """
    multiplicity = int(np.bincount(rows, minlength=1).max()) if len(rows) else 0
    tail = rows[:0]
    if keep_tail:
        lowest = scores[positive].min() if positive.any() else np.inf
        tail = rows[~positive & (scores < lowest)]
    rows, positive, new_group = _descending(rows, positive, scores)
    at = np.flatnonzero(positive)
    if len(at) == 0:
        return RankPlan(_tail_steps(tail, max(_WIDTHS), n_records), n_records, multiplicity)

    # Stretch k: the negatives between positive k-1 and positive k. Those that tie with positive k
    # come last in the stretch, because ties are sorted negatives first.
    group_start = np.flatnonzero(new_group)[np.cumsum(new_group)[at] - 1]
    stretch_start = np.r_[0, at[:-1] + 1]
    tied = np.where(group_start >= stretch_start, at - group_start, 0)
    untied = at - stretch_start - tied
    opens = group_start >= stretch_start
    closes = np.r_[group_start[1:] != group_start[:-1], True]

    def steps_at(width: int) -> tuple[np.ndarray, np.ndarray]:
        before, within = -(-untied // width), -(-tied // width)
        return before, np.where(tied > 0, before + within, np.maximum(before, 1))

    width = min(_WIDTHS, key=lambda w: steps_at(w)[1].sum() * (w + _STEP_COST))
    before, steps = steps_at(width)
    last_step = np.cumsum(steps) - 1
    first_step = last_step - steps + 1

    table = np.full((int(steps.sum()), 2 + width), n_records, np.int32)
    table[:, 0] = 0
    table[last_step, 1] = rows[at]
    table[last_step[closes], 0] |= CLOSE
    table[last_step[opens & (tied == 0)], 0] |= MARK_AFTER
    table[(first_step + before)[opens & (tied > 0)], 0] |= MARK_BEFORE

    negative_at = np.flatnonzero(~positive)
    k = np.cumsum(positive)[negative_at]  # the next positive of each negative
    offset = negative_at - stretch_start[k]
    is_tied = offset >= untied[k]
    offset -= np.where(is_tied, untied[k], 0)
    step = first_step[k] + np.where(is_tied, before[k], 0) + offset // width
    table[step, 2 + offset % width] = rows[negative_at]
    if len(tail):
        table = np.concatenate([table, _tail_steps(tail, width, n_records)])
    return RankPlan(table, n_records, multiplicity)


def _tail_steps(rows: np.ndarray, width: int, n_records: int) -> np.ndarray:
    """Steps that only add negatives."""
    table = np.full((-(-len(rows) // width), 2 + width), n_records, np.int32)
    table[:, 0] = 0
    index = np.arange(len(rows))
    table[index // width, 2 + index % width] = rows
    return table


def _descending(
    rows: np.ndarray, positive: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items by falling score, ties negatives first, cut after the last positive.

    Returns:
        rows, labels, and whether an item's score differs from that of the item before it.
    """
    positive = np.asarray(positive, bool)
    if scores.dtype == np.float32:
        # sorting one 64-bit key is several times faster than sorting an index
        key = _falling(scores).astype(np.uint64) << np.uint64(32)
        key |= positive.astype(np.uint64) << np.uint64(31)
        key |= rows.astype(np.uint64)
        key.sort()
        ranked = (key & np.uint64(1 << 31)) != 0
        key = key[: _end(ranked)]
        score = key >> np.uint64(32)
        ordered = (key & np.uint64(2**31 - 1)).astype(np.int32)
    else:
        negatives_first = np.argsort(positive, kind="stable")
        order = negatives_first[np.argsort(-scores[negatives_first], kind="stable")]
        ranked = positive[order]
        order = order[: _end(ranked)]
        score, ordered = scores[order], rows[order]
    return ordered, ranked[: len(ordered)], np.r_[True, score[1:] != score[:-1]]


def _end(ranked: np.ndarray) -> int:
    """Just after the last positive."""
    return int(np.flatnonzero(ranked)[-1]) + 1 if ranked.any() else 0


def _falling(scores: np.ndarray) -> np.ndarray:
    """float32 scores as uint32 that rise where the scores fall (IEEE 754 bits, without -0)."""
    bits = (scores + np.float32(0)).view(np.uint32)
    return np.where(bits >> np.uint32(31), bits, bits ^ np.uint32(2**31 - 1))


@dataclass(frozen=True)
class Ranking:
    """One set of scored items: some findings of some records, flattened.

    Attributes:
        labels: (N, C) int8, -1 unknown.
        scores: (N, C).
        findings: which columns.
        mask: (N,) bool, which records; ``None`` for all.
    """

    labels: np.ndarray
    scores: np.ndarray
    findings: Sequence[int]
    mask: np.ndarray | None = None

    @property
    def n_records(self) -> int:
        """Number of records that rows refer to."""
        return len(self.labels)

    @property
    def largest_multiplicity(self) -> int:
        """How often one record occurs at most."""
        return len(self.findings)

    def size(self) -> int:
        """Number of items at most."""
        records = self.n_records if self.mask is None else int(self.mask.sum())
        return records * len(self.findings)

    def tables(self) -> Iterator[np.ndarray]:
        """The table of steps, or several that continue each other, from the highest score down."""
        edges = self._edges()
        for k in range(len(edges) - 1):
            last = k == len(edges) - 2
            yield plan_ranking(
                *self._items(edges[k], edges[k + 1]), self.n_records, keep_tail=not last
            ).table

    def _edges(self) -> list[float]:
        """Falling scores that cut the items into slices, the first above and the last below all."""
        slices = min(-(-self.size() // SLICE), _MOST_SLICES)
        if slices <= 1:
            return [np.inf, -np.inf]
        step = max(1, self.size() // _SAMPLE)
        sample = self.scores[:, list(self.findings)].reshape(-1)[::step]
        inner = np.quantile(sample, np.arange(slices - 1, 0, -1) / slices, method="nearest")
        return [np.inf, *sorted({float(edge) for edge in inner}, reverse=True), -np.inf]

    def _items(self, above: float, lowest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, labels and scores of the items with lowest <= score < above."""
        rows, positive, values = [], [], []
        everything = above == np.inf and lowest == -np.inf
        for j in self.findings:
            use = self.labels[:, j] >= 0
            if self.mask is not None:
                use &= self.mask
            if not everything:
                use &= (self.scores[:, j] >= lowest) & (self.scores[:, j] < above)
            at = np.flatnonzero(use).astype(np.int32)
            rows.append(at)
            positive.append(self.labels[at, j] == 1)
            values.append(self.scores[at, j])
        return np.concatenate(rows), np.concatenate(positive), np.concatenate(values)
