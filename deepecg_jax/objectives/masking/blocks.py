"""The block mask of ECG-JEPA (Weimann and Conrad 2024), in static shapes."""

from functools import partial

import jax
import jax.numpy as jnp

Array = jax.Array


def block_mask(
    key: Array, rows: int, n_tokens: int, kept: Array, fewest: int, shortest: int = 10
) -> Array:
    """Hide all but ``kept`` tokens of each row in blocks: (rows, N) bool, true where hidden.

    Blocks are cut out of the row one after another, until enough is hidden. Each time

    * one of the intervals that are left is picked with a probability in proportion to its length;
    * the length of the block is uniform from ``shortest`` to what is still to be hidden;
    * an interval that is no longer than the block is hidden whole; otherwise the block is placed
      uniformly in it, and splits it;
    * a remainder below ``shortest`` extends a block: it is cut from an edge of the interval that
      touches one (either at random where both do).

    Args:
        key: one draw a row, so rows do not depend on each other.
        kept: tokens that stay, a scalar int32 from 1 to N - 1; it may change from batch to batch.
        fewest: the least that ``kept`` can be, which bounds the number of cuts.
        shortest: tokens of the shortest block.

    The published algorithm loops over intervals in Python. A loop of as many cuts as can ever be
    needed does the same to a row of bits: a random token that is not yet hidden lies in an interval
    with the very probability of its length.
    """
    cuts = most_cuts(n_tokens - fewest, shortest)
    draws = jax.random.uniform(key, (rows, cuts, 3))
    return jax.vmap(partial(_row, n_tokens, shortest), in_axes=(None, 0))(kept, draws)


def most_cuts(hidden: int, shortest: int) -> int:
    """Cuts after which ``hidden`` tokens are hidden, whatever was drawn.

    A cut hides ``shortest`` or more, or a whole interval, of which each block leaves at most one
    more than there were, or the remainder, which ends it.
    """
    blocks = hidden // shortest
    return blocks + (1 + blocks) + 1


def _row(n_tokens: int, shortest: int, kept: Array, draws: Array) -> Array:
    """One row: (cuts, 3) draws from [0, 1) -> (N,) bool, true where hidden."""
    place = jnp.arange(n_tokens)

    def cut(number: Array, hidden: Array) -> Array:
        pick, extent, position = draws[number]
        left = n_tokens - kept - hidden.sum()
        shown = jnp.cumsum(~hidden)
        token = jnp.argmax(shown > _below(pick, shown[-1]))
        # the interval around it
        start = jnp.max(jnp.where(hidden & (place < token), place + 1, 0))
        end = jnp.min(jnp.where(hidden & (place > token), place, n_tokens))
        length = end - start
        size = jnp.where(left < shortest, left, shortest + _below(extent, left - shortest + 1))
        size = jnp.minimum(size, length)
        anywhere = _below(position, length - size + 1)
        after, before = start > 0, end < n_tokens  # does it touch a block on its left, its right?
        at_start = after & (~before | (position < 0.5))
        edge = jnp.where(at_start, 0, length - size)
        offset = jnp.where((left < shortest) & (after | before), edge, anywhere)
        first = start + offset
        return hidden | ((place >= first) & (place < first + size))

    return jax.lax.fori_loop(0, len(draws), cut, jnp.zeros(n_tokens, bool))


def _below(draw: Array, count: Array) -> Array:
    """A whole number from 0 to ``count`` - 1 (0 where there is none) from one of [0, 1)."""
    return jnp.maximum(jnp.minimum((draw * count).astype(jnp.int32), count - 1), 0)
