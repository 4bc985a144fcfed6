"""Tokens chosen by indices and by yes or no, one way and the other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepecg_jax.models.sharding import rows_split

Array = jax.Array


class Kept(NamedTuple):
    """The tokens that a row keeps, as `models.encoder.Encoder.context_of` takes them."""

    indices: Array  # (B, K) int32, ascending; an entry that fills up repeats the first
    padding: Array  # (B, K) bool, true where an entry only fills up


def as_boolean(indices: Array, n_tokens: int) -> Array:
    """(B, M) indices -> (B, N) bool."""
    return jnp.any(indices[..., None] == jnp.arange(n_tokens), axis=1)


def as_indices(chosen: Array, most: int) -> Kept:
    """(B, N) bool -> (B, most) indices of the true ones; every row has at least one.

    most: at least the true ones of any row, so that none is lost.
    What fills up is a chosen token too: nothing that is hidden is ever handed on.
    """
    order = jnp.argsort(~chosen, axis=-1, stable=True)[:, :most].astype(jnp.int32)
    padding = jnp.arange(most) >= chosen.sum(-1, keepdims=True)
    return Kept(jnp.where(padding, order[:, :1], order), padding)


def take_tokens(x: Array, indices: Array) -> Array:
    """Rows ``indices`` (B, M) of ``x`` (B, N, D) -> (B, M, D)."""
    return jnp.take_along_axis(x, indices[..., None], axis=1)


def in_every_group(times: Array, groups: int) -> Array:
    """What holds of the times of an ECG, of the tokens of all groups: (B, n) -> (B, groups n).

    So the same time columns are hidden for all leads (ECG-JEPA, Kim 2024).
    """
    return rows_split(jnp.tile(times, (1, groups)))
