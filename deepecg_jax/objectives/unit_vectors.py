"""Vectors over their norm, whose products are cosines."""

import jax
import jax.numpy as jnp

Array = jax.Array


def unit(x: Array) -> Array:
    """x / max(|x|, 1e-8) over the last axis, float32, with a finite gradient at zero."""
    x = x.astype(jnp.float32)
    square = jnp.sum(x * x, -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-16))
