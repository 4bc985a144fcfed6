"""From the tokens of an ECG to one vector."""

import jax
import jax.numpy as jnp

Array = jax.Array


def mean_pool(tokens: Array, padding: Array | None) -> Array:
    """Mean over tokens that are not padding, float32, (B, N, D) -> (B, D)."""
    tokens = tokens.astype(jnp.float32)
    if padding is None:
        return tokens.mean(1)
    keep = (~padding)[..., None]
    return jnp.sum(tokens * keep, 1) / jnp.maximum(keep.sum(1), 1)


def max_pool(tokens: Array, padding: Array | None) -> Array:
    """Maximum over tokens that are not padding, float32, (B, N, D) -> (B, D); 0 without any."""
    tokens = tokens.astype(jnp.float32)
    if padding is None:
        return tokens.max(1)
    keep = (~padding)[..., None]
    largest = jnp.where(keep, tokens, -jnp.inf).max(1)
    return jnp.where(keep.any(1), largest, 0.0)
