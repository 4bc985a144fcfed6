"""The EfficientNet's parts against plain formulas, and its statistics on a mesh."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from pydantic import ValidationError

from deepecg_jax.models.blocks.batch_norm import EPSILON, BatchNorm, normalise
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.convolution import convolve, convolve_depthwise
from deepecg_jax.models.efficientnet.encoder import EfficientNetEncoder
from deepecg_jax.models.efficientnet.shape import Stage

TINY = EfficientNetConfig(
    variant="custom",
    stem_width=4,
    width=8,
    stochastic_depth=0.3,
    stages=(Stage("fused", 4, 1, 3, 1), Stage("mbconv", 6, 1, 5, 2, 3)),
)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    ("taps", "stride", "length"), [(1, 1, 7), (3, 1, 8), (5, 2, 11), (3, 3, 9)]
)
def test_depthwise_convolution_is_the_grouped_one(taps: int, stride: int, length: int) -> None:
    x, kernel = random(2, length, 6), random(taps, 6, seed=1)

    def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, None],
            (stride,),
            [(taps // 2, taps // 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=6,
        )

    expected, expected_vjp = jax.vjp(grouped, x, kernel)
    found, vjp = jax.vjp(lambda x, k: convolve_depthwise(x, k, stride), x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    slope = random(*expected.shape, seed=2)
    for ours, theirs in zip(vjp(slope), expected_vjp(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_convolution_of_one_tap_is_a_product() -> None:
    x, kernel = random(2, 7, 3), random(1, 3, 5, seed=1)
    np.testing.assert_allclose(
        convolve(x, kernel), jnp.einsum("bti,io->bto", x, kernel[0]), atol=1e-5
    )


def test_gradient_of_the_normalisation() -> None:
    x, scale, bias = 3.0 + 2.0 * random(2, 3, 5, 4), random(4, seed=1), random(4, seed=2)

    def plain(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        mean = x.mean((1, 2), keepdims=True)
        variance = x.var((1, 2), keepdims=True)
        return (x - mean) / jnp.sqrt(variance + EPSILON) * scale + bias

    expected, expected_vjp = jax.vjp(plain, x, scale, bias)
    found, vjp = jax.vjp(lambda *a: normalise(*a)[0], x, scale, bias)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    slope = random(*expected.shape, seed=3)
    for ours, theirs in zip(vjp(slope), expected_vjp(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_groups_are_normalised_on_their_own() -> None:
    x = random(6, 5, 4) * jnp.arange(1.0, 7.0)[:, None, None]
    parts = []
    for part in (x[:3], x[3:]):
        alone = BatchNorm(4, 0.1, 1)
        parts.append((alone(part, True), alone.mean[...], alone.variance[...]))
    together = BatchNorm(4, 0.1, 2)
    np.testing.assert_allclose(together(x, True), jnp.concatenate([p[0] for p in parts]), atol=1e-6)
    for i, running in ((1, together.mean), (2, together.variance)):
        np.testing.assert_allclose(running[...], (parts[0][i] + parts[1][i]) / 2, rtol=1e-5)
    with pytest.raises(ValueError, match="norm_groups=2 must divide the batch of 5"):
        together(x[:5], True)


def train_pass(config: EfficientNetConfig, signal: jax.Array) -> Any:
    """Tokens, new statistics, gradient of a pass in training."""
    graph, params, running = nnx.split(
        EfficientNetEncoder(config, jax.random.key(0)), nnx.Param, nnx.BatchStat
    )
    running = nnx.to_pure_dict(running)

    @jax.jit
    def run(params: Any, signal: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            model = nnx.merge(graph, params, running)
            tokens = model(signal, key=jax.random.key(1)).tokens
            return jnp.sum(tokens**3), (tokens, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))

        (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return *aux, gradient

    return run(nnx.to_pure_dict(params), signal)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 8])
def test_statistics_are_the_same_on_one_and_on_eight_devices(groups: int) -> None:
    """A plain mean over a batch that is spread over devices is the mean of the whole batch."""
    config = TINY.model_copy(update={"norm_groups": groups})
    # one ECG a device, each with another scale: statistics of a device would differ much
    signal = random(8, 40, 12) * jnp.arange(1.0, 9.0)[:, None, None]
    one = train_pass(config, signal)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        eight = train_pass(config, jax.device_put(signal, NamedSharding(mesh, P("data"))))
    assert len(eight[0].sharding.device_set) == 8
    for ours, theirs, tolerance in zip(one, eight, (2e-5, 2e-5, 1e-4), strict=True):
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        leaves = [(np.asarray(a), np.asarray(b)) for a, b in pairs]
        largest = max(np.abs(a).max() for a, _ in leaves)
        assert max(np.abs(a - b).max() for a, b in leaves) < tolerance * largest
    if groups == 1:
        other = train_pass(TINY.model_copy(update={"norm_groups": 8}), signal)
        assert np.abs(np.asarray(one[0] - other[0])).max() > 0.1


@pytest.mark.slow
def test_evaluation_changes_nothing_and_training_counts() -> None:
    model = EfficientNetEncoder(TINY, jax.random.key(0))
    before = jax.device_get(nnx.to_pure_dict(nnx.state(model)))
    first = model(random(2, 40, 12)).tokens
    jax.tree.map(
        np.testing.assert_array_equal, before, jax.device_get(nnx.to_pure_dict(nnx.state(model)))
    )
    np.testing.assert_array_equal(first, model(random(2, 40, 12)).tokens)
    model(random(2, 40, 12), key=jax.random.key(0))
    assert (model.batches[...] == 1).all() and model.batches.shape == (6,)
    assert np.abs(np.asarray(first - model(random(2, 40, 12)).tokens)).max() > 0


@pytest.mark.slow
def test_compute_dtype_and_tokens() -> None:
    model = EfficientNetEncoder(TINY, jax.random.key(0))
    tokens = model(random(2, 41, 12).astype(jnp.bfloat16), key=jax.random.key(0)).tokens
    assert tokens.dtype == jnp.bfloat16 and tokens.shape == (2, TINY.n_tokens(41), 8)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(model)))} == {
        jnp.dtype("float32"),
        jnp.dtype("int32"),
    }
    assert TINY.n_tokens(2500) == 1250 and EfficientNetConfig().n_tokens(2500) == 157


def test_input_scale_is_applied_inside() -> None:
    scaled = EfficientNetEncoder(TINY.model_copy(update={"input_scale": 8.0}), jax.random.key(0))
    plain = EfficientNetEncoder(TINY, jax.random.key(0))
    signal = random(2, 40, 12)
    np.testing.assert_array_equal(scaled(signal).tokens, plain(8.0 * signal).tokens)


def test_feature_gradient_scales_the_stem_alone() -> None:
    graph, *state = nnx.split(
        EfficientNetEncoder(TINY, jax.random.key(0)), nnx.Param, nnx.BatchStat
    )
    params, running = (nnx.to_pure_dict(part) for part in state)

    def slope(factor: float) -> Any:
        def loss(params: Any) -> jax.Array:
            output = nnx.merge(graph, params, running)(random(2, 40, 12), feature_gradient=factor)
            return jnp.sum(output.tokens**2)

        return jax.jit(jax.grad(loss))(params)

    whole, tenth = slope(1.0), slope(0.1)
    np.testing.assert_allclose(
        0.1 * whole["stem"]["kernel"], tenth["stem"]["kernel"], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(whole["tail"]["kernel"], tenth["tail"]["kernel"], rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variant": "custom"}, "stages must name at least one stage"),
        ({"stages": [("fused", 4, 1, 4, 1)]}, "kernel=4 must be odd"),
        ({"stages": [("dense", 4, 1, 3, 1)]}, "'fused' or 'mbconv'"),
        ({"variant": "b9"}, "variant"),
        ({"input_scale": 0.0}, "greater than 0"),
    ],
)
def test_refused_configurations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EfficientNetConfig.model_validate(fields)
