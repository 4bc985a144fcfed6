"""Negatives of CPC: other tokens of the same ECG."""

import jax
import jax.numpy as jnp

Array = jax.Array


def draw_negatives(
    key: Array, targets: Array, valid: Array, count: int, distance: int = 0
) -> tuple[Array, Array]:
    """``count`` tokens for each target, uniform and with replacement over those that are allowed.

    targets: (M,) int, index of each target in its row.
    valid: (B,) int, tokens of each row before padding.
    distance: a target and the tokens within it on both sides are not allowed.

    Returns:
        Indices (B, M, count) int32, and (B, M) bool: the target is no padding and some token is
        allowed. Where that is false the indices mean nothing.
    """
    first = jnp.maximum(targets - distance, 0)[None, :]
    last = jnp.minimum(targets[None, :] + distance, valid[:, None] - 1)
    left_out = last - first + 1
    allowed = valid[:, None] - left_out  # (B, M), how many
    possible = (targets[None, :] < valid[:, None]) & (allowed > 0)
    # one word of randomness a draw; the 2^23 values of a uniform share out evenly to some 1e-5
    share = jax.random.uniform(key, (*allowed.shape, count))
    drawn = jnp.floor(share * allowed[..., None]).astype(jnp.int32)
    drawn = jnp.where(drawn >= first[..., None], drawn + left_out[..., None], drawn)
    return jnp.where(possible[..., None], drawn, 0), possible
