"""Figures to watch a training by; nothing is learned from them."""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.unit_vectors import unit
from deepecg_jax.objectives.views.agreement import distance, products

Array = jax.Array


def measures(pooled: Array, first: Array, second: Array) -> dict[str, Array]:
    """Scalars, float32.

    pooled: (B, D), mean tokens of one view of each ECG; first, second: (B, d), what is compared.

    * ``alignment``: mean squared distance of the two views as unit vectors, 0 to 4;
    * ``uniformity``: log of the mean of exp(-2 squared distance) over pairs of ECGs (Wang and Isola
      2020), 0 where all are alike, down to about -4;
    * ``accuracy``: share of ECGs whose second view is the nearest of all to the first;
    * ``spread``: standard deviation of the entries of pooled unit vectors over the batch, mean over
      the entries, times the root of their number (Chen and He 2021): 0 where the encoder has
      collapsed, about 1 where it uses all directions.
    """
    pooled, first, second = (jax.lax.stop_gradient(x) for x in (pooled, first, second))
    rows, width = pooled.shape
    one, two = unit(first), unit(second)
    gaps = 2.0 - 2.0 * products(one, one)
    apart = jnp.where(jnp.eye(rows, dtype=bool), 0.0, jnp.exp(-2.0 * gaps))
    near = products(one, two)
    return {
        "alignment": distance(first, second),
        "uniformity": jnp.log(apart.sum() / max(rows * (rows - 1), 1)),
        "accuracy": jnp.mean(jnp.argmax(near, 1) == jnp.arange(rows)),
        "spread": jnp.std(unit(pooled), 0).mean() * width**0.5,
    }
