"""Sums of any values over records in every row of a sweep, as matrix products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from deepecg_jax.evaluation.resampling.draws import Sweep
from deepecg_jax.evaluation.resampling.walk import lane_blocks, lanes_for, sweep_by_record

_CHUNK = 8192


@functools.partial(jax.jit)
def _product(counts: jax.Array, values: jax.Array) -> jax.Array:
    return counts.astype(jnp.float64).T @ values


def weighted_sums(sweep: Sweep, values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Sums over records in every row of `sweep`.

    Args:
        sweep: counts of (rows, N).
        values: (N, K) float64.
        weights: (N,) weight of each record, or ``None``.

    Returns:
        (rows, K) float64.
    """
    n = len(values)
    weighted = values if weights is None else values * weights[:, None]
    lanes = lanes_for(sweep.rows, n)
    result = np.zeros((sweep.rows, values.shape[1]))
    chunk = min(_CHUNK, -(-n // 256) * 256)
    for start, stop in lane_blocks(sweep.rows, lanes):
        counts = sweep_by_record(sweep, start, stop, lanes, None)[:n]
        for first in range(0, n, chunk):
            part = slice(first, first + chunk)
            short = chunk - len(counts[part])
            with jax.enable_x64(True):
                product = _product(
                    np.pad(counts[part], ((0, short), (0, 0))),
                    np.pad(weighted[part], ((0, short), (0, 0))),
                )
                result[start:stop] += np.asarray(product)[: stop - start]
    return result
