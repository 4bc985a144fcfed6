"""How many tokens a row keeps, and random ones."""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from pydantic import AfterValidator

Array = jax.Array


def _ordered(shares: tuple[float, float]) -> tuple[float, float]:
    if not 0 < shares[0] <= shares[1] <= 1:
        raise ValueError("must be two shares above 0 and up to 1, the smaller first")
    return shares


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""A share is drawn uniformly from the first to the second."""


def most_kept(n_tokens: int, keep: Range) -> int:
    """The most tokens that `kept_count` ever keeps of ``n_tokens`` (2 or more)."""
    return min(max(1, _ceil(keep[1] * n_tokens)), n_tokens - 1)


def fewest_kept(n_tokens: int, keep: Range) -> int:
    """The fewest tokens that `kept_count` ever keeps of ``n_tokens``, or one less."""
    return max(1, int(keep[0] * n_tokens))


def kept_count(key: Array, n_tokens: int, keep: Range) -> Array:
    """Tokens kept in every row of a batch, a scalar int32: ceil(r n), r ~ U(keep), one a batch.

    At least one token is kept and one is hidden.
    """
    ratio = jax.random.uniform(key, (), minval=keep[0], maxval=keep[1])
    # a ratio at the end of the range must not become one token more by rounding
    count = jnp.ceil(ratio * n_tokens - 1e-4).astype(jnp.int32)
    return jnp.clip(count, 1, most_kept(n_tokens, keep))


def random_tokens(key: Array, rows: int, n_tokens: int, kept: Array) -> Array:
    """Keep exactly ``kept`` tokens of each row, uniformly at random: (rows, N) bool, true if kept.

    ``kept`` may be drawn anew for each batch: it changes no shape.
    """
    order = jax.random.uniform(key, (rows, n_tokens))
    return jnp.argsort(jnp.argsort(order, -1), -1) < kept


def _ceil(x: float) -> int:
    """The next whole number, 0.15 * 20 being 3."""
    return math.ceil(round(x, 6))
