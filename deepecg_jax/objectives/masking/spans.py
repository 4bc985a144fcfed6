"""Spans of hidden tokens, always the same number in every row."""

import jax
import jax.numpy as jnp

Array = jax.Array


def masked_token_count(n_tokens: int, share: float) -> int:
    """Tokens hidden in every row: ``share`` of them, at least 2 (a negative must exist)."""
    return min(max(2, round(share * n_tokens)), n_tokens - 1)


def span_mask(key: Array, rows: int, n_tokens: int, span: int, count: int) -> Array:
    """Hide exactly ``count`` tokens a row in spans of ``span``; (rows, count) sorted indices.

    wav2vec 2.0 draws a number of span starts and hides their union, whose size varies, then cuts
    every row to the smallest row of the batch, so the share depends on the batch size (50 % for
    one row, 26 % at 684). Here starts are taken in a random order until ``count`` tokens are
    hidden, so the shape is static, a row never depends on its neighbours, and at most the last
    span is incomplete. A span of 1 hides ``count`` random tokens.

    A token becomes hidden when the first span that covers it is drawn, so its turn is the least
    rank over the starts that cover it; the ``count`` tokens with the earliest turns are hidden.
    """
    span = min(span, n_tokens)
    n_starts = n_tokens - span + 1
    order = jax.random.uniform(key, (rows, n_starts))
    rank = jnp.argsort(jnp.argsort(order, -1), -1).astype(jnp.int32)
    turn = jax.lax.reduce_window(
        rank, jnp.int32(n_starts), jax.lax.min, (1, span), (1, 1), [(0, 0), (span - 1, span - 1)]
    )  # (rows, n_tokens)
    # ties within one span are cut from its end
    first = jnp.argsort(turn, axis=-1, stable=True)[:, :count]
    return jnp.sort(first, -1)
