"""InfoNCE over masked tokens of the same row (wav2vec 2.0), without a table of negatives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.unit_vectors import unit

Array = jax.Array


class InfoNCE(NamedTuple):
    """Mean cross-entropy (natural log) and the share of tokens whose target ranks first."""

    loss: Array
    accuracy: Array


def draw_negative_counts(key: Array, rows: int, masked: int, negatives: int) -> Array:
    """How often each other masked token is a negative of each: (rows, M, M) float32, rows sum to K.

    K draws with replacement, uniform over the M - 1 other masked tokens of the same record, as in
    the original. Counts instead of indices: the loss then needs no gather and its gradient no
    scatter, which are slow on TPU.
    """
    draws = jax.random.randint(key, (rows, masked, negatives), 0, masked - 1)
    draws = draws + (draws >= jnp.arange(masked)[None, :, None])
    return count_negatives(draws, masked)


def count_negatives(draws: Array, masked: int) -> Array:
    """(B, M, K) indices within the row -> (B, M, M) float32 counts."""
    return jax.vmap(jax.vmap(lambda d: jnp.zeros(masked, jnp.float32).at[d].add(1.0)))(draws)


def masked_token_infonce(
    context: Array,
    target: Array,
    codes: Array,
    negative_counts: Array,
    temperature: float,
) -> InfoNCE:
    """-log exp(s_tt) / (exp(s_tt) + sum_n exp(s_tn)), s the cosine over ``temperature``.

    context, target: (B, M, d); codes: (B, M, G), the codewords of each target;
    negative_counts: (B, M, M), see `draw_negative_counts`.
    A negative with the same codewords is the same vector: it does not count (logit -inf there).
    One (M, M) similarity a row serves all K negatives.
    """
    context, target = unit(context), unit(target)
    # in float32 also where the platform would round the operands: 0.1 divides the cosine
    similarity = jnp.einsum("bmd,bnd->bmn", context, target, precision="highest") / temperature
    same = jnp.all(codes[:, :, None] == codes[:, None, :], -1)
    weights = jnp.where(same, 0.0, negative_counts)
    own = jnp.diagonal(similarity, axis1=1, axis2=2)
    masked = jnp.where(weights > 0, similarity, -jnp.inf)
    peak = jax.lax.stop_gradient(jnp.maximum(own, masked.max(-1)))
    exponent = jnp.where(weights > 0, similarity - peak[..., None], 0.0)
    negatives = jnp.sum(weights * jnp.exp(exponent), -1)
    loss = peak - own + jnp.log(jnp.exp(own - peak) + negatives)
    return InfoNCE(loss.mean(), jnp.mean(own > masked.max(-1)))
