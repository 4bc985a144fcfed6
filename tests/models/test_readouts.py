"""What linear heads read of an ECG, and the attention pool, against formulas in NumPy."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError
from toys import ToyConfig

from deepecg_jax.errors import UserError
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.encoder import Features, Tokens
from deepecg_jax.models.heads import AttentionPoolHead, Classifier, HeadConfig, build_head
from deepecg_jax.models.pooling import max_pool
from deepecg_jax.models.readouts import READOUTS, check_readout, read_out, readout_width

RNG = np.random.default_rng(0)
LOCAL = RNG.standard_normal((2, 4, 3)).astype(np.float32)
TOKENS = RNG.standard_normal((2, 4, 5)).astype(np.float32) - 3.0  # a maximum below 0
PADDING = np.array([[False] * 4, [False, False, True, True]])
VALID = (4, 2)
KEY = jax.random.key(0)


class Summarising(ToyConfig):
    SUMMARISES: ClassVar[bool] = True


def by_hand(readout: str, padded: bool) -> np.ndarray:
    rows = []
    for i, n in enumerate(VALID if padded else (4, 4)):
        tokens, local = TOKENS[i, :n], LOCAL[i, :n]
        rows.append(
            {
                "mean": [tokens.mean(0)],
                "mean_max": [tokens.mean(0), tokens.max(0)],
                "mean_local": [tokens.mean(0), local.mean(0)],
                "mean_max_local": [tokens.mean(0), tokens.max(0), local.mean(0), local.max(0)],
                "summary": [TOKENS[i, 0] + 1],
            }[readout]
        )
    return np.stack([np.concatenate(parts) for parts in rows])


def given(padded: bool, dtype=jnp.float32) -> tuple[Features, Tokens]:
    padding = jnp.asarray(PADDING) if padded else None
    tokens = jnp.asarray(TOKENS).astype(dtype)
    features = Features(jnp.asarray(LOCAL).astype(dtype), jnp.float32(0), padding)
    return features, Tokens(tokens, padding, tokens[:, 0] + 1)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("readout", READOUTS)
def test_a_readout_is_what_its_name_says_without_padding(readout: str, padded: bool) -> None:
    found = read_out(readout, *given(padded))
    np.testing.assert_allclose(found, by_hand(readout, padded), atol=1e-6)
    half = read_out(readout, *given(padded, jnp.bfloat16))
    assert half.dtype == jnp.float32


def test_the_gradient_of_a_maximum_goes_to_its_place() -> None:
    def total(values: jax.Array) -> jax.Array:
        vectors = max_pool(values, jnp.asarray(PADDING))
        return jnp.sum(vectors * jnp.arange(1.0, 6.0))

    slope = np.asarray(jax.grad(total)(jnp.asarray(TOKENS)))
    expected = np.zeros_like(TOKENS)
    for i, n in enumerate(VALID):
        for j in range(5):
            expected[i, TOKENS[i, :n, j].argmax(), j] = j + 1
    np.testing.assert_array_equal(slope, expected)
    nothing = max_pool(jnp.asarray(TOKENS), jnp.ones((2, 4), bool))
    np.testing.assert_array_equal(nothing, 0.0)


def test_the_width_is_that_of_the_vector() -> None:
    model = Summarising(width=5)
    encoder = model.build(KEY)
    features = encoder.features(jnp.zeros((2, 40, 12)))
    tokens = encoder.context(features)._replace(summary=jnp.zeros((2, 5)))
    for readout in READOUTS:
        vector = read_out(readout, features, tokens)
        assert vector.shape == (2, readout_width(readout, model))


@pytest.mark.parametrize(
    ("readout", "model", "words"),
    [
        ("summary", ToyConfig(), "readout=summary needs a summary .* kind toy does not have"),
        (
            "mean_local",
            EfficientNetConfig(),
            "needs features before any context, .* efficientnet .* choose mean or mean_max.$",
        ),
        ("median", ToyConfig(), "readout=median is none; there are mean, mean_max"),
    ],
)
def test_what_an_encoder_lacks_is_a_sentence(readout, model, words) -> None:
    with pytest.raises(UserError, match=words):
        check_readout(readout, model)
    check_readout("mean_max", model)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"readout": "median"}, "readout=median is none; there are mean"),
        ({"kind": "attention", "readout": "mean_max"}, "goes with kind=linear; kind=attention"),
        ({"kind": "attention_pool", "readout": "summary"}, "goes with kind=linear"),
    ],
)
def test_heads_that_mean_nothing_are_refused(values, words) -> None:
    with pytest.raises(ValidationError, match=words):
        HeadConfig.model_validate(values)


def test_an_attention_pool_has_the_benchmarks_heads() -> None:
    found = [
        HeadConfig(kind="attention_pool").completed(ToyConfig(width=width)).heads
        for width in (32, 24, 5)
    ]
    assert found == [16, 8, 1]
    assert HeadConfig(kind="attention_pool", heads=2).completed(ToyConfig()).heads == 2


def test_attention_pool_is_multi_head_attention_of_one_query() -> None:
    """Against PyTorch's formula, head by head in NumPy."""
    width, heads, labels = 6, 2, 3
    head = AttentionPoolHead(width, heads, labels, jax.random.key(1))
    assert {path[0] for path, _ in nnx.to_flat_state(nnx.state(head, nnx.Param))} == {
        *("query", "to_query", "to_key", "to_value", "projection")
    }
    tokens = RNG.standard_normal((2, 4, width)).astype(np.float32)
    q, wq, wk, wv, wo = (
        np.asarray(getattr(head, name)[...], np.float64)
        for name in ("query", "to_query", "to_key", "to_value", "projection")
    )
    expected = []
    for row, n in zip(tokens, VALID, strict=True):
        seen = []
        for h in range(heads):
            own = slice(3 * h, 3 * h + 3)
            scores = (row[:n] @ wk)[:, own] @ (q @ wq)[own] / np.sqrt(3)
            weights = np.exp(scores) / np.exp(scores).sum()
            seen.append(weights @ (row[:n] @ wv)[:, own])
        expected.append(np.concatenate(seen) @ wo)
    output = Tokens(jnp.asarray(tokens), jnp.asarray(PADDING))
    found = head(Features(output.tokens, jnp.float32(0), None), output)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_attention_pools_query_is_as_long_as_one() -> None:
    query = AttentionPoolHead(400, 16, 2, jax.random.key(2)).query[...]
    assert abs(float(jnp.linalg.norm(query)) - 1.0) < 0.15  # randn / sqrt(400), 400 of them


def test_a_classifier_gives_its_head_both_halves() -> None:
    model = ToyConfig(leads=2)
    encoder = model.build(KEY)
    signal = jax.random.normal(jax.random.key(3), (2, 40, 2))
    head = build_head(HeadConfig(readout="mean_max_local"), model, 4, KEY)
    features = encoder.features(signal)
    vector = read_out("mean_max_local", features, encoder.context(features))
    np.testing.assert_array_equal(Classifier(encoder, head)(signal), head.projection(vector))
    assert vector.shape == (2, 4 * 8)
