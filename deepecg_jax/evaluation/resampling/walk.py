"""Exact AUROC and average precision of many resamples at once.

AUROC is the weighted Mann-Whitney statistic: over all pairs of a positive and a negative item, the
share in which the positive scores higher, ties counting one half (Hanley and McNeil, Radiology 143,
1982). With integer counts both sides of the fraction are integers, and they are computed as such:
the result is the correctly rounded quotient as long as twice the number of pairs is below 2^53.
Records with weights go through the same steps in float64.
Average precision is the step-wise area of scikit-learn: the precision at every distinct score,
weighted by the recall that is gained there.
"""

import functools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.draws import Sweep
from deepecg_jax.evaluation.resampling.ranking import CLOSE, MARK_AFTER, MARK_BEFORE, Ranking

LANES = 1024
"""Resamples that are walked through side by side on one device."""
COUNTS_BYTES = 2**28
"""Memory for the counts of one block of resamples on one device; bounds the lanes."""
FEWEST_LANES = 64
"""Not fewer for that bound: a step takes as long for 64 resamples as for one."""
_DRAWN_AT_ONCE = 2**24
_ALIGNMENT = 64
TABLE_BYTES = 2**29
"""Memory for sorted tables that are kept between blocks of resamples."""
_STEPS = 512
_UNROLL = 4


@functools.partial(jax.jit, donate_argnums=0, static_argnames="narrow")
def _walk(state: tuple, counts: jax.Array, table: jax.Array, *, narrow: str) -> tuple:
    """Advance all resamples by the steps of `table`.

    `state` is (true positives, false positives, both at the start of the open tie group, the pair
    sum, the precision sum), each (R,); `counts` is (rows, R) with zeros from row N on. Every
    operation is element by element over R, so resamples may lie on any number of devices. `narrow`
    is a type that holds the sum of a step's negatives: additions of bytes are the cheapest.
    """
    whole = state[0].dtype

    def row(index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_index_in_dim(counts, index, keepdims=False)

    def step(state: tuple, entry: jax.Array) -> tuple:
        tp, fp, tp_mark, fp_mark, pairs, precision = state
        flags = entry[0]
        fp_before = fp
        negatives = row(entry[2]).astype(narrow)
        for slot in range(3, entry.shape[0]):
            negatives = negatives + row(entry[slot]).astype(narrow)
        fp = fp + negatives.astype(whole)
        tp_mark = jnp.where(flags & (MARK_AFTER | MARK_BEFORE), tp, tp_mark)
        fp_mark = jnp.where(
            flags & MARK_BEFORE, fp_before, jnp.where(flags & MARK_AFTER, fp, fp_mark)
        )
        tp = tp + row(entry[1]).astype(whole)
        group = jnp.where(flags & CLOSE, tp - tp_mark, 0).astype(jnp.float64)
        tp_float, fp_float = tp.astype(jnp.float64), fp.astype(jnp.float64)
        # Twice the pairs that the group's positives lose: to negatives above fully, to tied
        # negatives by half.
        pairs = pairs + group * (fp_float + fp_mark.astype(jnp.float64))
        called = tp_float + fp_float
        precision = precision + group * tp_float / jnp.where(called > 0, called, 1.0)
        return (tp, fp, tp_mark, fp_mark, pairs, precision), None

    return jax.lax.scan(step, state, table, unroll=_UNROLL)[0]


def lane_blocks(n_resamples: int, lanes: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of blocks of at most `lanes` resamples."""
    for start in range(0, n_resamples, lanes):
        yield start, min(start + lanes, n_resamples)


def rows_for(n_records: int) -> int:
    """Rows of `counts_by_record`: at least one after the N records, for "nobody".

    They come in steps of 256, so that data of similar size share a compiled program.
    """
    return -(-(n_records + 1) // 256) * 256


def counts_by_record(counts: np.ndarray, lanes: int, weights: np.ndarray | None) -> np.ndarray:
    """(R, N) counts as the (rows, lanes) array that the kernels read, padded with zeros.

    With `weights` (N,) the array holds count times weight as float64.
    """
    n_resamples, n_records = counts.shape
    dtype = counts.dtype if weights is None else np.float64
    by_record = np.zeros((rows_for(n_records), lanes), dtype)
    by_record[:n_records, :n_resamples] = counts.T
    if weights is not None:
        by_record[:n_records] *= weights[:, None]
    return by_record


def sweep_by_record(
    sweep: Sweep, start: int, stop: int, lanes: int, weights: np.ndarray | None
) -> np.ndarray:
    """`counts_by_record` of the rows ``start`` .. ``stop - 1`` of a sweep.

    They are drawn a few at a time, so that the counts are in memory once.
    """
    n_records = len(sweep.resampler.cluster_of)
    step = max(8, _DRAWN_AT_ONCE // max(n_records, 1))
    shape = rows_for(n_records), lanes
    by_record = _aligned_zeros(shape, np.dtype(np.uint8 if weights is None else np.float64))
    for at in range(start, stop, step):
        drawn = sweep.counts(at, min(at + step, stop))
        if drawn.dtype.itemsize > by_record.dtype.itemsize:
            by_record = by_record.astype(drawn.dtype)
        by_record[:n_records, at - start : at - start + len(drawn)] = drawn.T
    if weights is not None:
        by_record[:n_records] *= weights[:, None]
    return by_record


def _aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Zeros at an address that XLA on a CPU can take over without a copy."""
    size = shape[0] * shape[1] * dtype.itemsize
    whole = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % _ALIGNMENT
    return whole[start : start + size].view(dtype).reshape(shape)


def lanes_for(n_resamples: int, n_records: int, itemsize: int = 1, devices: int = 1) -> int:
    """A few fixed widths, so that few programs are compiled, and within the memory for counts."""
    lanes = 16
    while lanes < min(n_resamples, LANES * devices):
        wider = lanes * 2
        counts_bytes = rows_for(n_records) * wider * itemsize
        if wider > FEWEST_LANES * devices and counts_bytes > COUNTS_BYTES * devices:
            break
        lanes = wider
    return -(-lanes // devices) * devices


class Walker:
    """Walks rankings over blocks of counts, keeping their tables while they fit in memory.

    Sorting happens once a ranking, as long as all tables together stay below `TABLE_BYTES`; those
    beyond are sorted again for each block of resamples, which bounds the memory instead.

    Args:
        rankings: P rankings over the same N records.
        devices: resamples are spread over these; ``None`` for the default device.
        once: there is only one block, so that no table need be kept.
    """

    def __init__(
        self, rankings: Sequence[Ranking], devices: Devices | None = None, once: bool = False
    ) -> None:
        self.rankings = rankings
        self._kept: dict[int, list[np.ndarray]] = {}
        self._room = 0 if once else TABLE_BYTES
        self._lock = threading.Lock()
        self._mesh = None
        if devices is not None and len(devices) > 1:
            self._mesh = Mesh(np.array(devices), ("resamples",), axis_types=(AxisType.Auto,))

    def walk(self, by_record: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pair sums and average precision of every ranking in every resample.

        Args:
            by_record: (rows, R) unsigned or float64, zero from row N on (see `counts_by_record`).

        Returns:
            ``lost`` (R, P) float64, twice the weight of (positive, negative) pairs in the wrong
            order, ties once; and average precision (R, P), NaN in a resample without positives.
        """
        whole = np.issubdtype(by_record.dtype, np.integer)
        drawn = int(by_record.sum(axis=0, dtype=np.uint64).max()) if whole else 0
        most_often = int(by_record.max()) if whole else 0
        lanes = by_record.shape[1]
        lost = np.empty((lanes, len(self.rankings)))
        precision = np.empty((lanes, len(self.rankings)))
        with jax.enable_x64(True):
            counts = self._put(by_record, None, "resamples")

        def run(index: int) -> None:
            most = drawn * self.rankings[index].largest_multiplicity
            kind = (np.int32 if most < 2**31 else np.int64) if whole else np.float64
            # 64-bit types are switched on for this thread and this block only.
            with jax.enable_x64(True):
                state = tuple(
                    self._put(np.zeros(lanes, dtype), "resamples")
                    for dtype in (kind,) * 4 + (np.float64, np.float64)
                )
                for table in self._tables(index):
                    for start in range(0, len(table), _STEPS):
                        part = _padded(table, start, self.rankings[index].n_records)
                        narrow = _holding(most_often * (part.shape[1] - 2), by_record.dtype)
                        state = _walk(state, counts, self._put(part), narrow=narrow)
                positives, pairs, gained = (np.asarray(state[i], np.float64) for i in (0, 4, 5))
            lost[:, index] = pairs
            with np.errstate(invalid="ignore"):
                precision[:, index] = gained / np.where(positives > 0, positives, np.nan)

        longest_first = sorted(range(len(self.rankings)), key=lambda i: -self.rankings[i].size())
        # several devices already keep every core busy
        threads = 1 if self._mesh is not None else max(1, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, longest_first))
        return lost, precision

    def _put(self, array: np.ndarray, *axes: str | None) -> jax.Array:
        if self._mesh is None:
            return jax.device_put(array)
        return jax.device_put(array, NamedSharding(self._mesh, PartitionSpec(*axes)))

    def _tables(self, index: int) -> Iterator[np.ndarray]:
        if index in self._kept:
            yield from self._kept[index]
            return
        kept: list[np.ndarray] | None = []
        for table in self.rankings[index].tables():
            yield table
            if kept is not None:
                kept.append(table)
                if not self._reserve(table.nbytes):
                    self._reserve(-sum(t.nbytes for t in kept[:-1]))
                    kept = None
        if kept is not None:
            self._kept[index] = kept

    def _reserve(self, n_bytes: int) -> bool:
        with self._lock:
            if n_bytes > self._room:
                return False
            self._room -= n_bytes
            return True


def _holding(largest: int, dtype: np.dtype) -> str:
    """The smallest unsigned type from `dtype` up that holds a sum; floats stay what they are."""
    if not np.issubdtype(dtype, np.integer):
        return dtype.name
    types = (np.uint8, np.uint16, np.uint32, np.uint64)
    return next(
        np.dtype(t).name
        for t in types
        if np.dtype(t).itemsize >= dtype.itemsize and largest <= np.iinfo(t).max
    )


def _padded(table: np.ndarray, start: int, n_records: int) -> np.ndarray:
    part = table[start : start + _STEPS]
    if len(part) == _STEPS:
        return part
    padding = np.full((_STEPS - len(part), part.shape[1]), n_records, np.int32)
    padding[:, 0] = 0
    return np.concatenate([part, padding])


def auroc_from_pairs(lost: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """AUROC, (R, P).

    Args:
        lost: (R, P) of `Walker.walk`.
        positive, negative: (R, P) how many there are, or their weight; NaN comes where one is zero.
    """
    pairs = 2.0 * positive * negative
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (pairs - lost) / pairs, np.nan)
