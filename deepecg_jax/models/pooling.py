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
    """Maximum over tokens that are not padding, float32, (B, N, D) -> (B, D); 0 without any.

    The gradient goes to the place of the maximum. That of `jnp.max` looks for tokens that equal it,
    and where a compiler computes the tokens anew and rounds otherwise there is none: 0 / 0.
    """
    tokens = tokens.astype(jnp.float32)
    keep = None if padding is None else (~padding)[..., None]
    ranked = tokens if keep is None else jnp.where(keep, tokens, -jnp.inf)
    place = jnp.argmax(jax.lax.stop_gradient(ranked), 1)
    chosen = jnp.arange(tokens.shape[1])[:, None] == place[:, None]
    if keep is not None:
        chosen = chosen & keep
    return jnp.sum(jnp.where(chosen, tokens, 0.0), 1)
