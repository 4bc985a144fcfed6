"""The multi-block mask of I-JEPA (Assran et al. 2023) along time."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.masking.keeping import Range

Array = jax.Array


class MultiBlock(NamedTuple):
    """What is to be predicted, and what it is predicted from; a token may be neither."""

    predicted: Array  # (rows, N) bool
    shown: Array  # (rows, N) bool


def multiblock_mask(
    key: Array, rows: int, n_tokens: int, blocks: int, block: Range, context: Range
) -> MultiBlock:
    """``blocks`` blocks to predict, and one block of context without them, in each row.

    Args:
        key: draws lengths and places, of each row and block by themselves.
        blocks: blocks to predict; where they overlap a token counts once.
        block, context: shares of the row that a block, and the context, take, uniformly drawn; a
            length is rounded down.

    Something is shown in every row if `least_shown` is positive.
    """
    keys = jax.random.split(key)
    predicted = _intervals(keys[0], (rows, blocks), n_tokens, block).any(1)
    whole = _intervals(keys[1], (rows,), n_tokens, context)
    return MultiBlock(predicted, whole & ~predicted)


def least_shown(n_tokens: int, blocks: int, block: Range, context: Range) -> int:
    """The fewest tokens that a row can show; 0 or less: a row may show none."""
    return _length(n_tokens, context[0]) - blocks * _length(n_tokens, block[1])


def most_shown(n_tokens: int, block: Range, context: Range) -> int:
    """The most tokens that a row can show: all blocks may lie on each other."""
    return min(_length(n_tokens, context[1]), n_tokens - _length(n_tokens, block[0]))


def _length(n_tokens: int, share: float) -> int:
    return max(1, int(round(share * n_tokens, 4)))


def _intervals(key: Array, shape: tuple[int, ...], n_tokens: int, share: Range) -> Array:
    """Intervals of drawn lengths at drawn places, (*shape, N) bool."""
    length_key, place_key = jax.random.split(key)
    drawn = jax.random.uniform(length_key, shape, minval=share[0], maxval=share[1])
    length = jnp.clip(
        jnp.floor(drawn * n_tokens + 1e-4).astype(jnp.int32),
        _length(n_tokens, share[0]),
        _length(n_tokens, share[1]),
    )
    start = jax.random.randint(place_key, shape, 0, n_tokens - length + 1)
    place = jnp.arange(n_tokens)
    return (place >= start[..., None]) & (place < (start + length)[..., None])
