"""Contexts without hidden tokens, and their places in a decoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from patch_toy import OnlyDrops, OnlyHides, PatchConfig

from deepecg_jax.errors import UserError
from deepecg_jax.models.blocks.positions import sine_cosine
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.objectives.hiding import (
    can_hide,
    in_place,
    require_hiding,
    saved_flops,
    visible_context,
)
from deepecg_jax.objectives.token_decoder import DecoderShape, TokenDecoder, decoder_flops

SHAPE = DecoderShape(6, 2, 2)
HIDDEN = jnp.array([[0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 0, 1]], bool)


def test_what_is_left_out_is_as_if_it_were_not_there():
    encoder = PatchConfig(leads=2).build(jax.random.key(0))
    signal = jax.random.normal(jax.random.key(1), (2, 60, 2))
    features = encoder.features(signal, valid_samples=jnp.array([60, 50]))
    tokens = visible_context(encoder, features, HIDDEN, 3, None)
    assert tokens.shape == (2, 3, 8)
    alone = encoder.context_of(features, jnp.array([[0, 3, 5], [4, 4, 4]]))
    np.testing.assert_allclose(tokens[0], alone.tokens[0], rtol=1e-6)
    np.testing.assert_allclose(tokens[1, 0], alone.tokens[1, 0], rtol=1e-6)
    # padding of the features stays padding: token 5 of the second row would be
    padded = visible_context(encoder, features, HIDDEN.at[1, 5].set(False), 3, None)
    np.testing.assert_allclose(padded[1, 0], alone.tokens[1, 0], rtol=1e-6)
    everywhere = in_place(tokens, HIDDEN, jnp.full((2, 6, 8), 9.0))
    np.testing.assert_array_equal(everywhere[0, 3], tokens[0, 1])
    np.testing.assert_array_equal(everywhere[1, 4], tokens[1, 0])
    np.testing.assert_array_equal((np.asarray(everywhere) == 9).all(-1), HIDDEN)


def test_what_is_hidden_is_replaced_where_the_encoder_needs_all_tokens():
    encoder = OnlyHides(leads=2).build(jax.random.key(0))
    features = encoder.features(jax.random.normal(jax.random.key(1), (2, 60, 2)))
    tokens = visible_context(encoder, features, HIDDEN, None, None)
    np.testing.assert_array_equal(tokens, encoder.context(features, hidden=HIDDEN).tokens)


def test_who_can_hide():
    assert can_hide(PatchConfig()) and can_hide(OnlyDrops) and can_hide(OnlyHides)
    assert not can_hide(EfficientNetConfig)
    require_hiding(OnlyDrops(), "jepa", "another objective")
    with pytest.raises(UserError, match="^objective.kind=jepa .* choose model.kind=wcr.*, or x.$"):
        require_hiding(EfficientNetConfig(), "jepa", "x")


def test_what_leaving_tokens_out_saves():
    config = PatchConfig(leads=3, by_lead=True)
    # 2 of 6 times are kept: the products of 12 of 18 tokens are saved
    assert saved_flops(config, 60, 6, 5) == {"tokens_left_out": -5 * 12 * 2 * 10 * 8}
    assert saved_flops(EfficientNetConfig(), 60, 1, 5) == {}


def test_positions_are_those_of_the_formula():
    found = sine_cosine(50, 8)
    assert found.shape == (50, 8) and found.dtype == np.float32
    for t, i in [(0, 0), (7, 1), (49, 3)]:
        phase = t / 10000 ** (i / 4)
        np.testing.assert_allclose(found[t, [i, 4 + i]], [np.sin(phase), np.cos(phase)], atol=1e-6)
    np.testing.assert_array_equal(sine_cosine(5, 3), sine_cosine(5, 4)[:, :3])


def decoder(groups: int, alone: bool, drops: bool) -> TokenDecoder:
    return TokenDecoder(8, 5, SHAPE, groups, jax.random.key(2), alone=alone, drops=drops)


def slopes(module: TokenDecoder, tokens: jax.Array, hidden: jax.Array, row: int, token: int):
    """Which tokens a result depends on, (B, K) bool."""

    def one(tokens: jax.Array) -> jax.Array:
        return jnp.sum(module(tokens, hidden, None)[row, token] ** 2)

    return np.asarray(jnp.abs(jax.jit(jax.grad(one))(tokens)).max(-1)) > 0


@pytest.mark.slow
def test_a_decoder_says_something_of_every_place():
    tokens = jax.random.normal(jax.random.key(3), (2, 3, 8))
    module = decoder(2, alone=False, drops=True)
    decoded = jax.jit(module.__call__)
    found = decoded(tokens, HIDDEN, None)
    assert found.shape == (2, 6, 5)
    # places and groups differ though all hidden tokens are alike
    assert len(np.unique(np.asarray(found[1]).round(6), axis=0)) == 6
    # it depends on the visible tokens of its own ECG and on no others; what fills up is none
    np.testing.assert_array_equal(slopes(module, tokens, HIDDEN, 0, 1), [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(slopes(module, tokens, HIDDEN, 1, 1), [[0, 0, 0], [1, 0, 0]])
    # what a padded token holds changes nothing
    padding = jnp.zeros((2, 6), bool).at[0, 3].set(True)
    moved = decoded(tokens.at[0, 1].add(1.0), HIDDEN, padding)
    np.testing.assert_array_equal(moved, decoded(tokens, HIDDEN, padding))
    assert not np.array_equal(moved[0], decoded(tokens.at[0, 1].add(1.0), HIDDEN, None)[0])


@pytest.mark.slow
def test_each_group_by_itself():
    tokens = jax.random.normal(jax.random.key(3), (2, 6, 8))
    module = decoder(2, alone=True, drops=False)
    assert module.mask_token is None and module.group_embedding is None
    hidden = jnp.zeros((2, 6), bool)
    np.testing.assert_array_equal(
        slopes(module, tokens, hidden, 0, 1), [[1, 1, 1, 0, 0, 0], [0] * 6]
    )
    # groups share the layers: the same tokens give the same results
    twice = jnp.tile(tokens[:, :3], (1, 2, 1))
    found = jax.jit(module.__call__)(twice, hidden, None)
    np.testing.assert_allclose(found[:, :3], found[:, 3:], rtol=1e-5)


def test_products_of_a_decoder_by_hand():
    d, n, k = 6, 12, 4
    a_layer = 2 * n * d * 3 * d + 2 * n * d * d + 2 * (2 * n * n * d) + 2 * (2 * n * d * 4 * d)
    by_hand = 2 * k * 8 * d + 2 * a_layer + 2 * n * d * 5
    assert decoder_flops(SHAPE, 8, 5, k, n, groups=3, alone=False) == by_hand
    alone = decoder_flops(SHAPE, 8, 5, k, n, groups=3, alone=True)
    assert by_hand - alone == 2 * 2 * (2 * n * (n - n // 3) * d)
