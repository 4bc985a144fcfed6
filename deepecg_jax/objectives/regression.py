"""Errors of a regression, element by element."""

from typing import Literal

import jax
import jax.numpy as jnp

Array = jax.Array
ErrorKind = Literal["mse", "l1", "smooth_l1"]


def elementwise_error(found: Array, target: Array, kind: ErrorKind) -> Array:
    """The error of each element, in float32.

    ``mse``: x^2; ``l1``: |x|; ``smooth_l1``: x^2 / 2 up to 1 and |x| - 1/2 beyond (Girshick 2015,
    beta 1).
    """
    difference = found.astype(jnp.float32) - target.astype(jnp.float32)
    if kind == "mse":
        return jnp.square(difference)
    size = jnp.abs(difference)
    if kind == "l1":
        return size
    return jnp.where(size < 1.0, 0.5 * jnp.square(difference), size - 0.5)
