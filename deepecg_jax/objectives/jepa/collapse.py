"""Whether the features still differ: a teacher that says the same of everything is easy to predict.

All are standard deviations, averaged over the features. Normalised features (`normalised`) of a
healthy encoder have about 0.5 to 1; below 0.3 they are collapsing, at 0 they have.
"""

import jax
import jax.numpy as jnp

from deepecg_jax.models.blocks.layers import LAYER_NORM_EPSILON

Array = jax.Array


def normalised(tokens: Array) -> Array:
    """Each token with zero mean and unit variance over its features, float32, (..., D)."""
    wide = tokens.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    variance = jnp.mean(centred * centred, -1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)


def spread(tokens: Array, counted: Array) -> Array:
    """Over all tokens of all ECGs together, (B, N, D), (B, N) bool -> scalar."""
    return _deviation(tokens, counted, (0, 1)).mean()


def spread_between_ecgs(tokens: Array, counted: Array) -> Array:
    """Over ECGs at the same place, averaged over the places that two or more ECGs have.

    It is small also where tokens tell their place and nothing else.
    """
    several = counted.sum(0) >= 2  # (N,)
    deviation = _deviation(tokens, counted, (0,)).mean(-1)
    return jnp.sum(deviation * several) / jnp.maximum(several.sum(), 1)


def _deviation(tokens: Array, counted: Array, axes: tuple[int, ...]) -> Array:
    """Of the counted tokens along ``axes``, for each feature."""
    weight = counted[..., None].astype(jnp.float32)
    count = jnp.maximum(weight.sum(axes, keepdims=True), 1.0)
    mean = jnp.sum(tokens * weight, axes, keepdims=True) / count
    square = jnp.sum(jnp.square(tokens - mean) * weight, axes, keepdims=True) / count
    return jnp.sqrt(square).squeeze(axes)
