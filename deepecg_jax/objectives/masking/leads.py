"""Whole leads that are hidden."""

import jax
import jax.numpy as jnp

Array = jax.Array


def hidden_leads(key: Array, recorded: Array, count: int) -> Array:
    """Hide exactly ``count`` of the leads of each ECG, (B, L) bool -> (B, L) bool, true if hidden.

    The leads are drawn uniformly, but one that was recorded always stays visible. Of an ECG that
    lacks leads some of the hidden ones may be among those: they teach nothing.

    recorded: (B, L) bool. count: from 0 to L - 1.
    """
    order = jax.random.uniform(key, recorded.shape)
    first = jnp.argmin(jnp.where(recorded, order, jnp.inf), -1)
    stays = jnp.arange(recorded.shape[1]) == first[:, None]
    rank = jnp.argsort(jnp.argsort(jnp.where(stays, -1.0, order), -1), -1)
    return rank >= recorded.shape[1] - count
