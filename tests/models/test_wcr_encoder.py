"""The encoder: sizes, equivalences, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from deepecg_jax.models.encoder import scale_gradient
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.encoder import WCREncoder
from deepecg_jax.models.wcr.positional import grouped_convolution
from deepecg_jax.models.wcr.stem import convolve
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig

TINY = WCRConfig(
    size="tiny",
    width=32,
    heads=4,
    ffn_width=48,
    layers=2,
    positional_kernel=8,
    conv_layers=((16, 2, 2),) * 4,
    dropout=0.0,
)


@pytest.mark.parametrize("size, expected", [("base", 90_883_072)])
def test_base_has_the_published_number_of_parameters(size, expected):
    config, objective = WCRConfig(size=size), WCRObjectiveConfig()
    model = nnx.eval_shape(lambda: Pretrainer(config, objective, jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == expected


@pytest.mark.parametrize("samples, tokens", [(1250, 78), (2500, 156), (16, 1)])
def test_token_count(samples, tokens):
    config = WCRConfig()
    assert config.n_tokens(samples) == tokens
    assert config.samples_per_token == 16


@pytest.mark.parametrize("n, taps", [(78, 128), (156, 128), (20, 7), (9, 64), (33, 1)])
def test_positional_convolution_equals_the_direct_one(n, taps):
    x = jax.random.normal(jax.random.key(0), (3, n, 24))
    kernel = jax.random.normal(jax.random.key(1), (taps, 6, 24))
    pad = taps // 2
    direct = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1,),
        [(pad, pad)],
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=4,
        precision="highest",
    )[:, :n]
    np.testing.assert_allclose(
        grouped_convolution(x, kernel, 4), direct, atol=2e-6 * float(jnp.abs(direct).max())
    )


def test_stem_convolution_as_a_product_equals_the_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 101, 3))
    kernel = jax.random.normal(jax.random.key(1), (4, 3, 5))
    direct = jax.lax.conv_general_dilated(
        x, kernel, (4,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"), precision="highest"
    )
    np.testing.assert_allclose(convolve(x, kernel, 4), direct, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layer_norm_first", [False, True])
@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_remat_and_unrolling_change_nothing(layer_norm_first, remat):
    plain = TINY.model_copy(update={"layer_norm_first": layer_norm_first})
    other = plain.model_copy(update={"remat": remat, "scan_unroll": 2})
    x = jax.random.normal(jax.random.key(2), (2, 160, 12))

    def run(config):
        graphdef, params = nnx.split(WCREncoder(config, jax.random.key(0)), nnx.Param)
        value = lambda p: jnp.mean(nnx.merge(graphdef, p)(x).tokens ** 2)  # noqa: E731
        return jax.jit(jax.value_and_grad(value))(nnx.as_pure(params))

    (a, grad_a), (b, grad_b) = run(plain), run(other)
    np.testing.assert_allclose(a, b, rtol=1e-6)
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, atol=1e-5 * (1e-3 + jnp.abs(u).max())),
        grad_a,
        grad_b,
    )


@pytest.mark.slow
def test_padding_is_not_attended_to():
    model = WCREncoder(TINY, jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (1, 320, 12))
    padded = x.at[:, 160:].set(0.0)
    out = model(padded, valid_samples=jnp.array([160]))
    assert out.padding is not None and int(out.padding.sum()) == 10
    # the padded tokens' content cannot reach the valid ones through attention
    hidden = jax.random.normal(jax.random.key(3), (1, 20, 32))
    other = hidden.at[:, 10:].add(5.0)
    a = model.transformer(hidden, out.padding)[:, :10]
    b = model.transformer(other, out.padding)[:, :10]
    np.testing.assert_array_equal(a, b)
    pooled = mean_pool(out.tokens, out.padding)
    np.testing.assert_allclose(pooled, out.tokens[:, :10].mean(1), atol=1e-6)


@pytest.mark.slow
def test_dropout_needs_a_key_and_is_reproducible():
    model = WCREncoder(TINY.model_copy(update={"dropout": 0.2}), jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (1, 160, 12))
    assert (model(x).tokens == model(x).tokens).all()
    a, b = (model(x, key=jax.random.key(7)).tokens for _ in range(2))
    assert (a == b).all()
    assert not (a == model(x).tokens).all()


def test_scale_gradient():
    value, slope = jax.value_and_grad(lambda x: scale_gradient(x, 0.1) ** 2)(3.0)
    assert value == pytest.approx(9.0)
    assert slope == pytest.approx(0.6)


def test_config_refuses_what_does_not_divide():
    with pytest.raises(ValueError, match="heads=5 must divide width=32"):
        WCRConfig(size="tiny", width=32, heads=5)
