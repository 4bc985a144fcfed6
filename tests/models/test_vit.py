"""The patch transformer against its formula written out, with tokens hidden, dropped and padded."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from interop_models import random_weights
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.special import erf

from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.models import execution
from deepecg_jax.models.encoder import Features
from deepecg_jax.models.vit.config import ViTConfig
from deepecg_jax.models.vit.encoder import ViTEncoder

SHAPE: dict[str, Any] = {"width": 8, "layers": 2, "heads": 2, "ffn_width": 12, "patch_samples": 5}
ALL_LEADS = ViTConfig(**SHAPE)
PER_LEAD = ViTConfig(**SHAPE, leads=3, patches="per_lead", biases=True)
CROSS = PER_LEAD.model_copy(update={"attention_pattern": "cross", "biases": False})
CONFIGS = {"all leads": ALL_LEADS, "per lead": PER_LEAD, "cross": CROSS}
TIMES = 4
Weights = dict[str, np.ndarray]


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def vit(config: ViTConfig) -> tuple[ViTEncoder, Weights]:
    """An encoder in which no parameter is trivial, and its weights."""
    weights = random_weights(Architecture(config))
    module = Architecture(config).module(weights)
    assert isinstance(module, ViTEncoder)
    return module, weights


def jitted(encoder: ViTEncoder, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of an encoder and arrays, compiled, with the encoder given."""
    graph, state = nnx.split(encoder)
    compiled = jax.jit(lambda state, *arrays: function(nnx.merge(graph, state), *arrays))
    return lambda *arrays: compiled(state, *arrays)


def written_out(weights: Weights, config: ViTConfig, x: np.ndarray, places: np.ndarray) -> Any:
    """Tokens (K, D) and register of the features (K, D) that stand at ``places``, in float64."""
    lead, time = places // TIMES, places % TIMES
    rate = 10000.0 ** (-2 * np.arange(config.width // 2) / config.width)
    x = x + np.concatenate([np.sin(np.outer(time, rate)), np.cos(np.outer(time, rate))], 1)
    if config.patches == "per_lead":
        x = x + weights["lead_embedding"][lead]
    x = np.concatenate([weights["register_token"][None], x])
    sees = np.ones((len(x), len(x)), bool)
    if config.attention_pattern == "cross":
        sees[1:, 1:] = (lead[:, None] == lead) | (time[:, None] == time)

    def get(name: str, i: int) -> Any:
        return weights[f"transformer.{name}"][i] if f"transformer.{name}" in weights else 0.0

    def norm(x: np.ndarray, scale: Any, bias: Any) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * (
            scale
        ) + bias

    for i in range(config.layers):
        y = norm(x, get("attention_norm_scale", i), get("attention_norm_bias", i))
        qkv = np.einsum("nd,dch->nch", y, get("qkv_kernel", i)) + get("qkv_bias", i)
        q, k, v = (part.reshape(len(x), config.heads, -1) for part in qkv.transpose(1, 0, 2))
        logits = np.einsum("nhe,mhe->hnm", q, k) / np.sqrt(config.width / config.heads)
        share = np.where(sees, np.exp(logits), 0.0)
        share = share / share.sum(-1, keepdims=True)
        y = np.einsum("hnm,mhe->nhe", share, v).reshape(x.shape)
        x = x + y @ get("out_kernel", i) + get("out_bias", i)
        y = norm(x, get("ffn_norm_scale", i), get("ffn_norm_bias", i))
        y = y @ get("up_kernel", i) + get("up_bias", i)
        y = 0.5 * y * (1 + erf(y / np.sqrt(2)))
        x = x + y @ get("down_kernel", i) + get("down_bias", i)
    x = norm(x, weights["transformer.norm.scale"], weights.get("transformer.norm.bias", 0.0))
    return x[1:], x[0]


def test_patches_of_all_leads_are_a_strided_convolution() -> None:
    encoder, weights = vit(ALL_LEADS)
    signal = random(2, 23, 12)
    expected = jax.lax.conv_general_dilated(
        signal, weights["stem.kernel"], (5,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    found = encoder.features(signal).values
    assert found.shape == (2, 4, 8)  # the last three samples are left out
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_patches_of_one_lead_come_lead_by_lead() -> None:
    encoder, weights = vit(PER_LEAD)
    signal = np.asarray(random(2, 23, 3))
    found = np.asarray(encoder.features(jnp.asarray(signal)).values)
    assert found.shape == (2, 12, 8)
    for lead in range(3):
        for time in range(TIMES):
            patch = signal[:, 5 * time : 5 * time + 5, lead]
            expected = patch @ weights["stem.kernel"][:, 0] + weights["stem.bias"]
            np.testing.assert_allclose(found[:, TIMES * lead + time], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_whole_and_a_subset_are_the_formula(config: ViTConfig) -> None:
    """Some tokens alone are the transformer over those alone, each where it stood; what fills up a
    row, and whatever is dropped, has no influence.
    """
    encoder, weights = vit(config)
    n = config.token_groups * TIMES
    values = np.asarray(random(2, n, 8))
    rng = np.random.default_rng(0)
    kept = np.stack([rng.permutation(n)[:3] for _ in range(2)])  # any order
    padding = np.array([[False, False, False], [False, True, False]])

    def both(encoder: ViTEncoder, values: jax.Array) -> Any:
        features = Features(values, jnp.float32(0), None)
        some = encoder.context_of(features, jnp.asarray(kept), padding=jnp.asarray(padding))
        return encoder.context(features), some

    whole, some = jitted(encoder, both)(jnp.asarray(values))
    np.testing.assert_array_equal(some.padding, padding)
    for row in range(2):
        tokens, register = written_out(weights, config, values[row], np.arange(n))
        np.testing.assert_allclose(whole.tokens[row], tokens, atol=2e-5)
        np.testing.assert_allclose(whole.summary[row], register, atol=2e-5)
        real = ~padding[row]
        places = kept[row][real]
        tokens, register = written_out(weights, config, values[row][places], places)
        np.testing.assert_allclose(some.tokens[row][real], tokens, atol=2e-5)
        np.testing.assert_allclose(some.summary[row], register, atol=2e-5)


@pytest.mark.slow
def test_a_hidden_token_is_the_mask_embedding_where_it_stood() -> None:
    encoder, weights = vit(ALL_LEADS)
    values = random(1, TIMES, 8)
    hidden = jnp.array([[False, True, False, True]])
    replaced = np.where(hidden[..., None], weights["mask_embedding"], values)[0]
    expected, _ = written_out(weights, ALL_LEADS, replaced, np.arange(TIMES))
    run = jitted(encoder, lambda e, x: e.context(Features(x, jnp.float32(0), None), hidden=hidden))
    np.testing.assert_allclose(run(values).tokens[0], expected, atol=2e-5)


@pytest.mark.slow
def test_a_token_is_padding_if_its_patch_starts_in_the_padding() -> None:
    encoder, weights = vit(PER_LEAD)
    kept = jnp.array([[3, 0]] * 4)

    def passed(encoder: ViTEncoder, signal: jax.Array) -> Any:
        features = encoder.features(signal, valid_samples=jnp.array([20, 11, 5, 0]))
        some = encoder.context_of(features, kept, padding=jnp.zeros((4, 2), bool))
        return features, encoder.context(features), some

    features, found, some = jitted(encoder, passed)(random(4, 20, 3))
    expected = [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 1]]  # one token is real
    np.testing.assert_array_equal(features.padding, np.tile(np.array(expected, bool), (1, 3)))
    np.testing.assert_array_equal(found.padding, features.padding)
    for row, count in enumerate([4, 3, 1, 1]):
        real = ~np.asarray(features.padding[row])
        places = np.flatnonzero(real)
        assert len(places) == 3 * count
        values = np.asarray(features.values[row])[places]
        tokens, register = written_out(weights, PER_LEAD, values, places)
        np.testing.assert_allclose(found.tokens[row][real], tokens, atol=2e-5)
        np.testing.assert_allclose(found.summary[row], register, atol=2e-5)
    # a kept token that is padding among the features stays so
    np.testing.assert_array_equal(some.padding, [[0, 0], [1, 0], [1, 0], [1, 0]])
    values = np.asarray(features.values[1])[:1]
    tokens, _ = written_out(weights, PER_LEAD, values, np.array([0]))
    np.testing.assert_allclose(some.tokens[1, 1:], tokens, atol=2e-5)


@pytest.mark.slow
def test_numbers_are_the_same_as_a_tpu_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and gradients of a subset: unfolded products without biases, tokens filled up to a
    multiple of 8.
    """
    graph, state = nnx.split(vit(CROSS)[0])
    pure = nnx.to_pure_dict(state)
    signal, kept = random(2, 20, 3), jnp.array([[3, 0, 7, 9], [11, 2, 1, 4]])

    def value(pure: Any) -> Any:
        module: Any = nnx.merge(graph, pure)
        found = module.context_of(module.features(signal), kept)
        total = jnp.sum(jnp.sin(found.tokens)) + jnp.sum(found.summary**2)
        return total, found.tokens

    def run() -> Any:
        return jax.jit(jax.value_and_grad(value, has_aux=True))(pure)

    (_, tokens), slope = run()
    for name in ("register_token", "lead_embedding"):
        assert np.abs(slope[name]).max() > 0
    monkeypatch.setitem(execution.PLATFORMS, "cpu", execution.PLATFORMS["tpu"])
    (_, other), other_slope = run()
    np.testing.assert_allclose(other, tokens, atol=2e-5)
    for ours, theirs in zip(jax.tree.leaves(other_slope), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * (1 + np.abs(theirs).max()))


@pytest.mark.slow
def test_each_device_computes_its_own_rows() -> None:
    """Dropping and placing tokens sends nothing between eight devices; gradients are summed."""
    graph, state = nnx.split(vit(CROSS)[0])
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, P("data"))
    kept = jnp.tile(jnp.array([[3, 0, 7, 9]]), (8, 1))
    arrays = jax.device_put((random(8, 20, 3), kept), rows)

    def value(state: Any, signal: jax.Array, kept: jax.Array) -> jax.Array:
        module = nnx.merge(graph, state)
        return module.context_of(module.features(signal), kept).tokens

    def total(state: Any, signal: jax.Array, kept: jax.Array) -> jax.Array:
        return jnp.sum(value(state, signal, kept) ** 2)

    with jax.set_mesh(mesh):
        state = jax.device_put(state, NamedSharding(mesh, P()))
        forward = jax.jit(value, out_shardings=rows).lower(state, *arrays).compile().as_text()
        backward = jax.jit(jax.grad(total)).lower(state, *arrays).compile().as_text()
    assert forward and backward
    sent = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    assert "all-reduce" not in forward and "all-reduce" in backward
    assert not any(kind in text for kind in sent for text in (forward, backward))


@pytest.mark.slow
def test_dropout_is_a_function_of_the_key() -> None:
    config = ALL_LEADS.model_copy(update={"dropout": 0.3, "attention_dropout": 0.2})
    run = jitted(vit(config)[0], lambda e, key: e(random(2, 20, 12), key=key).tokens)
    first, again, other = (np.asarray(run(jax.random.key(seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
