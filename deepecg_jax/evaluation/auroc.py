"""Exact AUROC and average precision of many resamples at once.

AUROC is the weighted Mann-Whitney statistic: over all pairs of a positive and a negative item, the
share in which the positive scores higher, ties counting one half (Hanley and McNeil, Radiology 143,
1982). With integer counts both sides of the fraction are integers, and they are computed as such:
the result is the correctly rounded quotient as long as twice the number of pairs is below 2^53.
Average precision is the step-wise area of scikit-learn: the precision at every distinct score,
weighted by the recall that is gained there.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from deepecg_jax.evaluation.ranking import CLOSE, MARK_AFTER, MARK_BEFORE, RankPlan

LANES = 512
"""Resamples that are walked through side by side; bounds the memory."""
_STEPS = 512
_UNROLL = 4


@functools.partial(jax.jit, donate_argnums=0)
def _walk(state: tuple, counts: jax.Array, table: jax.Array) -> tuple:
    """Advance all resamples by the steps of `table`.

    `state` is (true positives, false positives, both at the start of the open tie group, the pair
    sum, the precision sum), each (R,); `counts` is (rows, R) with zeros from row N on.
    """
    whole = state[0].dtype

    def row(index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_index_in_dim(counts, index, keepdims=False).astype(whole)

    def step(state: tuple, entry: jax.Array) -> tuple:
        tp, fp, tp_mark, fp_mark, pairs, precision = state
        flags = entry[0]
        fp_before = fp
        for slot in range(2, entry.shape[0]):
            fp = fp + row(entry[slot])
        tp_mark = jnp.where(flags & (MARK_AFTER | MARK_BEFORE), tp, tp_mark)
        fp_mark = jnp.where(
            flags & MARK_BEFORE, fp_before, jnp.where(flags & MARK_AFTER, fp, fp_mark)
        )
        tp = tp + row(entry[1])
        group = jnp.where(flags & CLOSE, tp - tp_mark, 0).astype(jnp.float64)
        tp_float, fp_float = tp.astype(jnp.float64), fp.astype(jnp.float64)
        # Twice the pairs that the group's positives lose: to negatives above fully, to tied
        # negatives by half.
        pairs = pairs + group * (fp_float + fp_mark.astype(jnp.float64))
        precision = precision + group * tp_float / jnp.maximum(tp_float + fp_float, 1.0)
        return (tp, fp, tp_mark, fp_mark, pairs, precision), None

    return jax.lax.scan(step, state, table, unroll=_UNROLL)[0]


def lane_blocks(n_resamples: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of blocks of at most `LANES` resamples."""
    for start in range(0, n_resamples, LANES):
        yield start, min(start + LANES, n_resamples)


def counts_by_record(counts: np.ndarray, lanes: int) -> np.ndarray:
    """(R, N) counts as the (rows, lanes) array that the kernels read, padded with zeros.

    There is at least one row after the N records, for "nobody"; rows come in steps of 256, so that
    data of similar size share a compiled program.
    """
    n_resamples, n_records = counts.shape
    by_record = np.zeros((-(-(n_records + 1) // 256) * 256, lanes), counts.dtype)
    by_record[:n_records, :n_resamples] = counts.T
    return by_record


def lanes_for(n_resamples: int) -> int:
    """A few fixed widths, so that few programs are compiled."""
    lanes = 16
    while lanes < min(n_resamples, LANES):
        lanes *= 2
    return lanes


def walk_plans(plans: Sequence[RankPlan], counts: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Pair sums and average precision of every plan in every resample.

    Args:
        plans: P rankings over the same N records.
        counts: (rows, R) unsigned, zero from row N on (see `counts_by_record`).

    Returns:
        ``lost`` (R, P) float64, twice the number of (positive, negative) pairs in the wrong order,
        ties once; and average precision (R, P), NaN in a resample without positives.
    """
    with jax.enable_x64(True):
        drawn = int(jnp.sum(counts, axis=0, dtype=jnp.int64).max())
    lanes = counts.shape[1]
    lost = np.empty((lanes, len(plans)))
    precision = np.empty((lanes, len(plans)))

    def run(index: int) -> None:
        plan = plans[index]
        whole = np.int32 if drawn * plan.largest_multiplicity < 2**31 else np.int64
        # 64-bit types are switched on for this thread and this block only.
        with jax.enable_x64(True):
            state = tuple(
                jnp.zeros(lanes, dtype) for dtype in (whole,) * 4 + (np.float64, np.float64)
            )
            for start in range(0, len(plan.table), _STEPS):
                state = _walk(state, counts, _padded(plan, start))
            positives, pairs, gained = (np.asarray(state[i], np.float64) for i in (0, 4, 5))
        lost[:, index] = pairs
        with np.errstate(invalid="ignore"):
            precision[:, index] = gained / np.where(positives > 0, positives, np.nan)

    longest_first = sorted(range(len(plans)), key=lambda i: -plans[i].table.size)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        list(pool.map(run, longest_first))
    return lost, precision


def _padded(plan: RankPlan, start: int) -> np.ndarray:
    part = plan.table[start : start + _STEPS]
    if len(part) == _STEPS:
        return part
    padding = np.full((_STEPS - len(part), part.shape[1]), plan.n_records, np.int32)
    padding[:, 0] = 0
    return np.concatenate([part, padding])


def auroc_from_pairs(lost: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """AUROC from `walk_plans` and the number of positives and negatives; NaN if one is zero."""
    pairs = 2.0 * positive * negative
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (pairs - lost) / pairs, np.nan)
