"""The convolutional networks against formulas written out, and what was published of them."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from pydantic import ValidationError

from deepecg_jax.models.net1d.basic import BasicBlock
from deepecg_jax.models.net1d.bottleneck import BottleneckBlock
from deepecg_jax.models.net1d.config import Net1DConfig
from deepecg_jax.models.net1d.convolution import Convolution, max_pool
from deepecg_jax.models.net1d.encoder import Net1DEncoder
from deepecg_jax.models.net1d.shape import Stage

FOUNDER = Net1DConfig(size="ecgfounder")
BOTH = Net1DConfig(
    size="custom",
    stem_width=4,
    stem_kernel=4,
    stages=(Stage("basic", 6, 1, 3, 2), Stage("bottleneck", 8, 1, 4, 2, 4)),
    width=8,
)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def count(config: Net1DConfig) -> int:
    module = nnx.eval_shape(lambda: config.build(jax.random.key(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_parameters_of_ecgfounder() -> None:
    """From its published description alone, layer by layer."""
    stem = 16 * 12 * 64 + 64
    total, n_in = stem, 64
    widths, depths = [64, 160, 160, 400, 400, 1024, 1024], [2, 2, 2, 3, 3, 4, 4]
    for width, depth in zip(widths, depths, strict=True):
        for _ in range(depth):
            total += n_in * width + width  # one tap
            total += 16 * 16 * width + width  # 16 taps, 16 channels a group
            total += width * width + width  # one tap
            total += 2 * width * (width // 2) + width // 2 + width  # squeeze and excitation
            n_in = width  # the shortcut has none
    assert count(FOUNDER) == total == 30_598_896
    # its classifier has 150 outputs
    assert round((total + 1024 * 150 + 150) / 1e6, 1) == 30.8


def test_parameters_of_the_plain_network() -> None:
    total, n_in = 15 * 12 * 32 + 2 * 32, 32
    for width in (32, 64, 128, 256):
        total += 5 * n_in * width + 3 * 5 * width * width + 4 * 2 * width
        total += n_in * width + 2 * width  # each stage begins with a stride
        n_in = width
    assert count(Net1DConfig(size="resnet_small")) == total
    assert round(total / 1e6, 1) == 1.6


@pytest.mark.parametrize("length", [1, 2, 9, 16, 31, 40])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_ecgfounders(length: int, stride: int) -> None:
    """``SAME``: as many zeros as ceil(T / stride) outputs need, the odd one on the right."""
    layer = Convolution(3, 2, 16, jax.random.key(0), stride=stride, bias=False)
    x, n = random(1, length, 3), math.ceil(length / stride)
    zeros = max(0, (n - 1) * stride + 16 - length)
    padded = np.pad(np.asarray(x), ((0, 0), (zeros // 2, zeros - zeros // 2), (0, 0)))
    kernel = np.asarray(layer.kernel[...])
    expected = [np.einsum("ki,kio->o", padded[0, s * stride :][:16], kernel) for s in range(n)]
    np.testing.assert_allclose(layer(x)[0], np.array(expected), atol=1e-5)


@pytest.mark.parametrize(("taps", "stride"), [(1, 2), (4, 2), (5, 2), (5, 3), (16, 1)])
def test_a_crop_is_filtered_as_the_whole(taps: int, stride: int) -> None:
    """An even and an odd length put the taps at the same samples."""
    layer = Convolution(2, 3, taps, jax.random.key(0), stride=stride, bias=True)
    x = random(1, 60, 2)
    whole, odd = layer(x)[0], layer(x[:, :41])[0]
    unaffected = (41 - taps) // stride
    assert whole.shape[0] == math.ceil(60 / stride) and odd.shape[0] == math.ceil(41 / stride)
    np.testing.assert_allclose(odd[:unaffected], whole[:unaffected], atol=1e-6)


def test_max_pool_by_hand() -> None:
    x = jnp.array([[3.0, 5.0], [4.0, -1.0], [-2.0, -7.0]])[None]
    np.testing.assert_array_equal(max_pool(x, 2)[0], [[4.0, 5.0], [0.0, 0.0]])
    np.testing.assert_array_equal(max_pool(x[:, :2], 2)[0], [[4.0, 5.0]])
    np.testing.assert_array_equal(max_pool(x, 1), x)


@nnx.jit
def output_of(block: Any, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """In one compiled program instead of one for each operation."""
    return block(x, key)


def filtered(x: np.ndarray, layer: Convolution, stride: int, groups: int = 1) -> np.ndarray:
    """A convolution with ``SAME`` padding and a bias, (T, I) -> (T', O), by its definition."""
    kernel, bias = np.asarray(layer.kernel[...]), np.asarray(layer.bias[...])  # type: ignore[index]
    taps, group_in, n_out = kernel.shape
    n = math.ceil(len(x) / stride)
    zeros = max(0, (n - 1) * stride + taps - len(x))
    padded = np.pad(x, ((zeros // 2, zeros - zeros // 2), (0, 0)))
    y = np.tile(bias, (n, 1)).astype(np.float64)
    for t in range(n):
        for o in range(n_out):
            first = o // (n_out // groups) * group_in
            window = padded[t * stride : t * stride + taps, first : first + group_in]
            y[t, o] += np.sum(window * kernel[..., o])
    return y


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1.0 + np.exp(-x))


@pytest.mark.slow
@pytest.mark.parametrize("activated", [True, False])
def test_bottleneck_by_its_formula(activated: bool) -> None:
    config = Net1DConfig(size="ecgfounder")
    stage = Stage("bottleneck", 7 * 2, 1, 16, 2, 2)
    block = BottleneckBlock(config, stage, 9, 2, jax.random.key(0), activated)
    x = np.asarray(random(1, 11, 9))
    y = x[0] if activated else swish(x[0])
    y = swish(filtered(y, block.first, 1))
    y = swish(filtered(y, block.grouped, 2, groups=7))
    y = filtered(y, block.last, 1)
    down, up = (np.asarray(part.kernel[...]) for part in (block.gate.down, block.gate.up))
    assert down.shape == (14, 7)
    inner = swish(y.mean(0) @ down + np.asarray(block.gate.down.bias[...]))
    y = y / (1.0 + np.exp(-(inner @ up + np.asarray(block.gate.up.bias[...]))))
    pooled = np.array(
        [np.max([*x[0, i : i + 2], *([[0.0] * 9] if i == 10 else [])], 0) for i in range(0, 11, 2)]
    )
    y[:, 2:11] += pooled  # two empty channels before, three behind
    np.testing.assert_allclose(output_of(block, jnp.asarray(x))[0], y, atol=1e-5)


@pytest.mark.parametrize(("stride", "n_in"), [(2, 3), (1, 5), (1, 3)])
def test_basic_block_by_its_formula(stride: int, n_in: int) -> None:
    config = Net1DConfig(size="resnet_tiny", batch_norm=False)
    block = BasicBlock(config, Stage("basic", 5, 1, 3, stride), n_in, stride, jax.random.key(0))
    x = np.asarray(random(1, 11, n_in))
    y = filtered(np.maximum(filtered(x[0], block.first, stride), 0.0), block.second, 1)
    shortcut = x[0] if block.shortcut is None else filtered(x[0], block.shortcut, stride)
    assert (block.shortcut is None) == (stride == 1 and n_in == 5)
    np.testing.assert_allclose(
        output_of(block, jnp.asarray(x))[0], np.maximum(y + shortcut, 0.0), atol=1e-5
    )


@pytest.mark.slow
def test_dropout_is_in_training_alone() -> None:
    config = BOTH.model_copy(update={"dropout": 0.5, "batch_norm": False})
    x = random(2, 12, 4)
    for kind, Block in (("basic", BasicBlock), ("bottleneck", BottleneckBlock)):
        stage = Stage(kind, 4, 1, 3, 1, 2, 2)
        block = Block(config, stage, 4, 1, jax.random.key(0))
        still = output_of(block, x)
        np.testing.assert_array_equal(still, output_of(block, x))
        one, two = (output_of(block, x, jax.random.key(seed)) for seed in (1, 2))
        assert np.abs(np.asarray(one - two)).max() > 0.01
        assert np.abs(np.asarray(one - still)).max() > 0.01


@pytest.mark.parametrize(
    ("config", "length"),
    [(BOTH, 1), (BOTH, 7), (BOTH, 8), (BOTH, 9), (Net1DConfig(), 99), (FOUNDER, 257)],
    ids=["1", "7", "8", "9", "resnet_small", "ecgfounder"],
)
def test_tokens_of_odd_lengths(config: Net1DConfig, length: int) -> None:
    def tokens() -> jax.Array:
        return config.build(jax.random.key(0))(jnp.zeros((1, length, 12))).tokens

    assert nnx.eval_shape(tokens).shape == (1, config.n_tokens(length), config.width)


def test_numbers_of_tokens() -> None:
    assert (FOUNDER.samples_per_token, FOUNDER.n_tokens(5000)) == (256, 20)
    assert (Net1DConfig().samples_per_token, Net1DConfig().n_tokens(2500)) == (32, 79)


def test_operations_by_hand() -> None:
    twice = tuple(stage._replace(depth=2) for stage in BOTH.stages)
    config = BOTH.model_copy(update={"stages": twice})
    assert config.flops(17, batch=3) == {
        "stem": 3 * 2 * 9 * (4 * 12 * 4),
        # shortcut of the first block; then both ends of two bottlenecks
        "pointwise": 3 * 2 * (5 * 4 * 6 + 5 * 6 * 8 + 3 * 8 * 8 + 3 * 8 * 8 + 3 * 8 * 8),
        "convolution": 3 * 2 * (5 * 3 * (4 * 6 + 3 * 6 * 6) + 2 * 3 * 4 * 4 * 8),
        "gate": 3 * 2 * (2 * 2 * 8 * 4),
    }


def test_operations_by_xla() -> None:
    """An ECG so long that taps in the zeros around it hardly count."""
    module = nnx.eval_shape(lambda: BOTH.build(jax.random.key(0)))
    graph, state = nnx.split(module)
    signal = jax.ShapeDtypeStruct((1, 20_000, 12), jnp.float32)
    lowered = jax.jit(lambda state, x: nnx.merge(graph, state)(x).tokens).lower(state, signal)
    found: Any = lowered.cost_analysis()
    # norms, activations and pooling are in its count: much beside so few channels
    assert 1.0 < found["flops"] / sum(BOTH.flops(20_000).values()) < 1.3


def train_pass(config: Net1DConfig, signal: jax.Array) -> Any:
    """Tokens, new statistics, gradient of a pass in training."""
    graph, params, running = nnx.split(
        Net1DEncoder(config, jax.random.key(0)), nnx.Param, nnx.BatchStat
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
def test_one_and_eight_devices_agree() -> None:
    """Dropout, batch statistics and the gradient of a grouped kernel know nothing of devices."""
    config = BOTH.model_copy(update={"dropout": 0.2})
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


@pytest.mark.slow
def test_evaluation_changes_nothing_and_training_counts() -> None:
    model = BOTH.build(jax.random.key(0))
    before = jax.device_get(nnx.to_pure_dict(nnx.state(model)))
    first = model(random(2, 40, 12)).tokens
    jax.tree.map(
        np.testing.assert_array_equal, before, jax.device_get(nnx.to_pure_dict(nnx.state(model)))
    )
    model(random(2, 40, 12), key=jax.random.key(0))
    # stem, basic block with a shortcut, bottleneck
    assert model.batches is not None and model.batches[...].tolist() == [1] * (1 + 3 + 3)
    assert np.abs(np.asarray(first - model(random(2, 40, 12)).tokens)).max() > 0
    plain = nnx.eval_shape(lambda: FOUNDER.build(jax.random.key(0)))
    assert not jax.tree.leaves(nnx.state(plain, nnx.BatchStat))


def test_input_scale_is_applied_inside() -> None:
    scaled = Net1DEncoder(BOTH.model_copy(update={"input_scale": 8.0}), jax.random.key(0))
    plain = Net1DEncoder(BOTH, jax.random.key(0))
    signal = random(2, 40, 12)
    np.testing.assert_array_equal(scaled(signal).tokens, plain(8.0 * signal).tokens)


def test_a_size_fills_only_what_is_not_given() -> None:
    founder = Net1DConfig(size="ecgfounder", activation="relu")
    assert (founder.activation, founder.batch_norm, founder.width) == ("relu", False, 1024)
    assert sum(stage.depth for stage in founder.stages) == 20
    assert Net1DConfig().size == "resnet_small" and Net1DConfig().batch_norm


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": "custom"}, "stages must name at least one stage"),
        ({"stages": [("dense", 256, 1, 3, 1)]}, "'basic' or 'bottleneck'"),
        ({"stages": [("bottleneck", 250, 1, 3, 1)]}, "group_width=16 must divide width=250"),
        ({"stages": [("bottleneck", 16, 1, 3, 1)]}, "width=16 is less than the 32 channels before"),
        ({"width": 128}, "width=128 must be the width of the last stage, 256"),
        ({"size": "ecgfounder", "norm_groups": 2}, "norm_groups=2 needs batch_norm=true"),
        ({"size": "huge"}, "size"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_refused_configurations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Net1DConfig.model_validate(fields)


def test_groups_of_the_norms_divide_a_batch() -> None:
    Net1DConfig(norm_groups=4).check_batch(8)
    with pytest.raises(ValueError, match="norm_groups=4 must divide"):
        Net1DConfig(norm_groups=4).check_batch(6)
