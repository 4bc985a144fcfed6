"""Every family keeps the promises of `EncoderConfig` and `Encoder`, with shapes checked as it runs.

The shapes are checked by jaxtyping and beartype around the calls, so that the product needs
neither.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from flax import nnx
from jaxtyping import Array, Bool, Float, TypeCheckError, jaxtyped
from pydantic import ValidationError
from small_encoders import SMALL
from toys import ToyConfig

from deepecg_jax.models.encoder import Encoder, EncoderConfig, Features, Tokens
from deepecg_jax.models.families import FAMILIES, encoder_config
from deepecg_jax.models.heads import Head, HeadConfig, build_head
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.readouts import READOUTS


@pytest.fixture(params=[*FAMILIES, "toy"])
def config(request, monkeypatch) -> EncoderConfig:
    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)
    return encoder_config({"kind": request.param, "leads": 3, **SMALL[request.param]})


@jaxtyped(typechecker=beartype)
def features_of(
    encoder: Encoder, signal: Float[Array, "B T L"], key: Any
) -> tuple[Float[Array, "B N C"], Float[Array, ""]]:
    found = encoder.features(signal, key=key)
    assert isinstance(found, Features)
    return found.values, found.penalty


@jaxtyped(typechecker=beartype)
def tokens_of(
    encoder: Encoder, values: Float[Array, "B N C"], hidden: Bool[Array, "B N"] | None
) -> Float[Array, "B N D"]:
    found = encoder.context(Features(values, jnp.float32(0), None), hidden=hidden)
    assert isinstance(found, Tokens)
    return found.tokens


@jaxtyped(typechecker=beartype)
def pooled_of(
    tokens: Float[Array, "B N D"], padding: Bool[Array, "B N"] | None
) -> Float[Array, "B D"]:
    return mean_pool(tokens, padding)


@jaxtyped(typechecker=beartype)
def logits_of(
    head: Head, values: Float[Array, "B N C"], tokens: Float[Array, "B N D"]
) -> Float[Array, "B 5"]:
    return head(Features(values, jnp.float32(0), None), Tokens(tokens, None, tokens[:, 0]))


def built(config: EncoderConfig) -> Encoder:
    """`config.build` in one compiled program instead of one for each parameter."""
    graph = nnx.split(nnx.eval_shape(lambda: config.build(jax.random.key(0))))[0]
    state = jax.jit(lambda key: nnx.split(config.build(key))[1])(jax.random.key(0))
    return nnx.merge(graph, state)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shapes(config: EncoderConfig, dtype: Any) -> None:
    """By tracing alone: nothing is compiled."""
    nnx.eval_shape(lambda: _check_shapes(config, dtype))


def _check_shapes(config: EncoderConfig, dtype: Any) -> None:
    encoder = config.build(jax.random.key(0))
    signal = jax.random.normal(jax.random.key(1), (2, 83, 3)).astype(dtype)
    n = config.n_tokens(83)
    for key in (None, jax.random.key(2)):
        values, penalty = features_of(encoder, signal, key)
        assert values.shape == (2, n, config.feature_width) and values.dtype == dtype
        assert penalty.dtype == jnp.float32
    tokens = tokens_of(encoder, values, None)
    assert tokens.shape == (2, n, config.width) and tokens.dtype == dtype
    assert pooled_of(tokens, jnp.zeros((2, n), bool)).dtype == jnp.float32
    for kind in ("attention", "attention_pool"):
        head = build_head(HeadConfig(kind=kind), config, 5, jax.random.key(3))
        assert logits_of(head, values, tokens).dtype == jnp.float32
    for readout in READOUTS:
        head = build_head(HeadConfig(readout=readout), config, 5, jax.random.key(3))
        assert logits_of(head, values, tokens).dtype == jnp.float32
    with pytest.raises(TypeCheckError, match="parameter 'signal'"):  # the wrappers do check
        features_of(encoder, signal[0], None)


@pytest.mark.slow
def test_both_halves_make_the_whole(config: EncoderConfig) -> None:
    encoder = built(config)
    signal = jax.random.normal(jax.random.key(1), (2, 80, 3))
    whole = encoder(signal).tokens
    np.testing.assert_array_equal(tokens_of(encoder, encoder.features(signal).values, None), whole)


@pytest.mark.slow
def test_what_a_family_says_it_can_do(config: EncoderConfig) -> None:
    encoder = built(config)
    values = encoder.features(jax.random.normal(jax.random.key(1), (2, 80, 3))).values
    hidden = jnp.zeros(values.shape[:2], bool).at[:, 0].set(True)
    if not config.HIDES_TOKENS:
        with pytest.raises(ValueError, match="cannot hide tokens"):
            tokens_of(encoder, values, hidden)
        return
    # what is hidden has no influence
    found = tokens_of(encoder, values, hidden)
    other = tokens_of(encoder, values.at[:, 0].add(3.0), hidden)
    np.testing.assert_array_equal(found, other)
    assert not np.array_equal(found, tokens_of(encoder, values, None))


def test_numbers_of_tokens_of_an_array(config: EncoderConfig) -> None:
    samples = np.array([10, 83, 160])
    expected = [config.n_tokens(int(n)) for n in samples]
    assert jnp.asarray(config.n_tokens(jnp.asarray(samples))).tolist() == expected
    assert config.n_tokens(100 * config.samples_per_token) >= 99


@pytest.mark.slow
def test_gradient_of_the_stem_is_scaled(config: EncoderConfig) -> None:
    if config.kind == "toy":
        pytest.skip("the toy ignores it")
    graph, params, rest = nnx.split(built(config), nnx.Param, ...)
    signal = jax.random.normal(jax.random.key(1), (2, 80, 3))

    def slope(factor: float) -> Any:
        def value(params: Any) -> jax.Array:
            tokens = nnx.merge(graph, params, rest)(signal, feature_gradient=factor).tokens
            return jnp.mean(tokens**2)

        return jax.jit(jax.grad(value))(params)["stem"]

    for full, half in zip(jax.tree.leaves(slope(1.0)), jax.tree.leaves(slope(0.5)), strict=True):
        np.testing.assert_allclose(half, 0.5 * full, rtol=1e-3, atol=1e-7)


def test_configs_are_read_back_and_named(config: EncoderConfig) -> None:
    assert encoder_config(config.model_dump(mode="json")) == config
    assert config.width % config.attention_heads == 0
    assert config.title and f"every {config.samples_per_token} samples" in config.summary
    assert config.unrolled().identity() == config.identity()
    assert set(config.SPEED_FIELDS) <= set(config.TRAINING_FIELDS) <= set(config.model_dump())
    assert not set(config.OLDER_FIELDS) & set(config.model_dump())
    flops = config.flops(80)
    assert flops is None or min(flops.values()) >= 0 < sum(flops.values())


def test_unknown_families_and_wrong_kinds_are_a_sentence() -> None:
    with pytest.raises(ValueError, match="kind=s5 is no family of encoders; there are wcr, eff"):
        encoder_config({"kind": "s5"})
    with pytest.raises(ValueError, match="must be a section with kind .wcr, efficientnet"):
        encoder_config("wcr")
    with pytest.raises(ValidationError, match="kind=wcr is not toy"):
        ToyConfig(kind="wcr")
