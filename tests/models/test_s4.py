"""The S4 encoder: its size, what may reach a token, its norms and its dropout, rows on a mesh."""

import functools
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError

from deepecg_jax.models.encoder import Encoder, Features
from deepecg_jax.models.execution import PLATFORMS
from deepecg_jax.models.s4.config import S4Config
from deepecg_jax.models.s4.layer import S4Layer, drop_channels
from deepecg_jax.training.state import parts_of, shapes_of, split_model

WIDTH, TOKENS = 8, 150
SMALL: dict[str, Any] = {"size": "tiny", "width": WIDTH, "layers": 1, "state": 4, "leads": 3}


@functools.cache
def built(**fields: Any) -> Encoder:
    """An encoder made in one compiled program."""
    config = S4Config(**{**SMALL, **fields})
    graph = split_model(shapes_of(config.build))[0]
    state = jax.jit(lambda key: split_model(config.build(key))[1])(jax.random.key(0))
    return nnx.merge(graph, state)


def random(*shape: int, seed: int = 1) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def context_of(
    encoder: Encoder, values: jax.Array, padding: Any = None, hidden: Any = None
) -> np.ndarray:
    """Compiled once for each pattern of arguments, by the structure of the encoder."""
    graph, state = nnx.split(encoder)

    def run(state: Any, values: jax.Array, padding: Any, hidden: Any) -> jax.Array:
        features = Features(values, jnp.float32(0), padding)
        return nnx.merge(graph, state).context(features, hidden=hidden).tokens

    return np.asarray(jax.jit(run)(state, values, padding, hidden))


def sizes_of(module: Any) -> tuple[int, int]:
    """Numbers that are trained, and numbers that are only kept."""
    trained, kept = (
        sum(leaf.size for leaf in jax.tree.leaves(part)) for part in parts_of(shapes_of(module))
    )
    return trained, kept


def test_published_counts() -> None:
    """Objectives.md, sections 1 and 10; the embedding of hidden tokens is not in the published."""
    config = S4Config()
    assert sizes_of(lambda key: S4Layer(config, key))[0] == 530_944
    stem = shapes_of(config.build).stem
    assert sum(leaf.size for leaf in jax.tree.leaves(parts_of(stem)[0])) == 808_960
    assert sizes_of(config.build)[0] == 2_932_736 + 512
    # time run backwards adds outputs alone
    both = S4Config(direction="bidirectional")
    assert sizes_of(both.build)[0] - sizes_of(config.build)[0] == 4 * 512 * 8
    # log_dt a channel; decay and frequency a pair; B and P, and the statistics of the stem
    assert sizes_of(config.build)[1] == 4 * (512 + 4 + 4 + 8 + 8) + 4 * 2 * 512
    assert sizes_of(S4Config(learn_state=True).build)[1] == 4 * 2 * 512
    assert 0.74e6 < sizes_of(S4Config(size="small").build)[0] < 0.76e6
    assert config.n_tokens(2400) == 1200 and config.n_tokens(600) == 300
    assert config.causal and not both.causal


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "way"), [("nplr", "products"), ("diagonal", "fft")])
def test_a_causal_token_knows_nothing_of_later_ones(
    kernel: str, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLATFORMS, "cpu", PLATFORMS["cpu"]._replace(long_convolution=way))
    encoder = built(kernel=kernel)
    values = random(2, TOKENS, WIDTH)
    found = context_of(encoder, values)
    other = context_of(encoder, values.at[:, 100:].add(5.0))
    np.testing.assert_allclose(found[:, :100], other[:, :100], atol=2e-5)
    assert np.abs(found[:, 100] - other[:, 100]).min() > 1e-3
    # earlier ones reach far
    assert np.abs(found - context_of(encoder, values.at[:, 0].add(5.0)))[:, 100].max() > 1e-3


@pytest.mark.slow
def test_a_bidirectional_token_knows_of_all() -> None:
    encoder = built(direction="bidirectional")
    values = random(2, TOKENS, WIDTH)
    for changed in (0, TOKENS - 1):
        moved = context_of(encoder, values.at[:, changed].add(5.0)) - context_of(encoder, values)
        assert np.abs(moved[:, 60]).max() > 1e-3


@pytest.mark.slow
def test_no_length_is_special() -> None:
    encoder = built()
    values = random(1, 600, WIDTH)
    first = context_of(encoder, values[:, :300])
    np.testing.assert_allclose(first, context_of(encoder, values)[:, :300], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_padding_changes_no_token_that_is_none(direction: str) -> None:
    """A padded ECG has the tokens of the ECG alone, whatever stands where it is padded."""
    encoder = built(direction=direction)
    # norms that are not the identity on zeros, as those of a trained stem
    graph, state = split_model(encoder)
    norms = state["stem"]["norms"]
    for i in norms:
        norms[i]["bias"] = 0.3 + norms[i]["bias"]
    signal, valid = random(1, 400, 3), 221
    padded = signal.at[:, valid:].set(0.0)

    @functools.partial(jax.jit, static_argnames="dirt")
    def run(signal: jax.Array, valid: jax.Array | None, dirt: float = 0.0) -> Any:
        model: Any = nnx.merge(graph, state)
        features = model.features(signal, valid_samples=valid)
        if features.padding is not None:
            values = features.values + dirt * features.padding[..., None]
            features = features._replace(values=values)
        return model.context(features)

    n = encoder.config.n_tokens(valid)
    tokens, padding, _ = run(padded, jnp.array([valid]))
    assert padding.sum() == tokens.shape[1] - n
    np.testing.assert_allclose(tokens[:, :n], run(padded[:, :valid], None).tokens, atol=2e-5)
    dirty = run(padded, jnp.array([valid]), dirt=50.0).tokens
    np.testing.assert_allclose(dirty[:, :n], tokens[:, :n], atol=1e-6)
    # one token always counts
    assert run(padded, jnp.array([0])).padding.sum() == tokens.shape[1] - 1


@pytest.mark.slow
def test_hidden_tokens_are_the_embedding() -> None:
    encoder = built(direction="bidirectional")
    values = random(2, 40, WIDTH)
    hidden = jnp.zeros((2, 40), bool).at[0, 5:9].set(True)
    found = context_of(encoder, values, hidden=hidden)
    replaced = values.at[0, 5:9].set(encoder.mask_embedding[...])
    np.testing.assert_allclose(found, context_of(encoder, replaced), atol=1e-6)
    wide = S4Config(**{**SMALL, "width": 4000})
    embedding = jax.jit(lambda key: wide.build(key).mask_embedding[...])(jax.random.key(0))
    assert float(embedding.std()) == pytest.approx(1.0, abs=0.1)


def test_dropout_is_of_channels() -> None:
    dropped = np.asarray(drop_channels(jnp.ones((40, 5, 50)), 0.2, jax.random.key(0)))
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped)) == {0.0, np.float32(1.25)}
    assert (dropped[:, 0] == 0).mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "learn"), [("fft", False), ("products", True)])
def test_gradients_in_bfloat16(way: Any, learn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They exist for all that is trained, are float32, and near those of float32."""
    monkeypatch.setitem(PLATFORMS, "cpu", PLATFORMS["cpu"]._replace(long_convolution=way))
    encoder = built(direction="bidirectional", learn_state=learn, dropout=0.0)
    graph = nnx.split(encoder)[0]
    params, statistics = parts_of(encoder)
    signal = random(2, 1100, 3)

    def slope(dtype: Any) -> Any:
        def value(params: Any) -> Any:
            model = nnx.merge(graph, params, statistics)
            tokens = model(signal.astype(dtype), key=jax.random.key(2)).tokens
            weight = jnp.cos(jnp.arange(tokens.size).reshape(tokens.shape))
            return jnp.mean(tokens.astype(jnp.float32) * weight), parts_of(model)[1]

        return jax.jit(jax.grad(value, has_aux=True))(params)

    (exact, _), (found, after) = slope(jnp.float32), slope(jnp.bfloat16)
    found["mask_embedding"] = exact["mask_embedding"] = jnp.ones(1)  # no token was hidden
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        other = np.asarray(_at(exact, path))
        assert leaf.dtype == jnp.float32 and np.abs(leaf).max() > 0, path
        assert np.linalg.norm(leaf - other) < 0.2 * np.linalg.norm(other), path
    # a pass updates the statistics of the stem, and no constant
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after, statistics)
    assert all(jax.tree.leaves(moved["stem"])) and not any(jax.tree.leaves(moved.get("layers", {})))


def _at(tree: Any, path: Any) -> Any:
    for part in path:
        tree = tree[part.key]
    return tree


def test_stem_is_convolution_norm_and_relu() -> None:
    """The first layer of the published shape at one token, by hand."""
    encoder = built(conv_layers=((WIDTH, 3, 2),))
    signal = random(1, 21, 3)
    found = encoder.features(signal).values
    assert found.shape == (1, 11, WIDTH) == (1, encoder.config.n_tokens(21), WIDTH)
    kernel = np.asarray(encoder.stem.kernels[0][...])  # (3, 3, D)
    padded = np.pad(np.asarray(signal), ((0, 0), (1, 1), (0, 0)))
    for token in (0, 4, 10):
        window = padded[0, 2 * token : 2 * token + 3]
        expected = np.einsum("ki,kio->o", window, kernel) / np.sqrt(1 + 1e-5)
        np.testing.assert_allclose(found[0, token], np.maximum(expected, 0.0), atol=1e-5)


@pytest.mark.slow
def test_rows_stay_on_their_devices() -> None:
    """No device collects the batch: what is sent does not grow with it."""
    config = S4Config(**SMALL)
    mesh = jax.make_mesh(
        (2, 2, 1), ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3
    )
    graph = split_model(shapes_of(config.build))[0]
    params, rest = parts_of(shapes_of(config.build))

    def placed(tree: Any, *axes: Any) -> Any:
        sharding = jax.NamedSharding(mesh, jax.P(*axes))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    def value(params: Any, rest: Any, values: jax.Array) -> jax.Array:
        features = Features(values, jnp.float32(0), None)
        tokens = nnx.merge(graph, params, rest).context(features, key=jax.random.key(0)).tokens
        return jnp.sum(tokens**2)

    values = jax.ShapeDtypeStruct((8, TOKENS, WIDTH), jnp.float32)
    with jax.set_mesh(mesh):
        lowered = jax.jit(jax.grad(value, (0, 2))).lower(
            placed(params), placed(rest), placed(values, ("data", "fsdp"))
        )
        program = lowered.compile().as_text()
    assert "all-reduce" in program  # the gradients
    pattern = r"= \(?\w+\[([\d,]*)\]\S* (?:all-gather|all-to-all|collective-permute)"
    sent = [math.prod(map(int, shape.split(","))) for shape in re.findall(pattern, program)]
    assert max(sent, default=0) < TOKENS * WIDTH, "less than one ECG"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": 5}, "multiple of 2"),
        ({"conv_layers": []}, "at least 1"),
        ({"width": 16, "conv_layers": [(8, 3, 2)]}, "last of conv_layers is 8 wide, .* width=16"),
        ({"direction": "both"}, "'causal' or 'bidirectional'"),
        ({"kernel": "dense"}, "'nplr' or 'diagonal'"),
    ],
)
def test_wrong_shapes_are_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        S4Config(**fields)


def test_sizes_fill_what_is_not_given() -> None:
    small = S4Config(size="small")
    assert (small.width, small.layers, small.state) == (256, 4, 8)
    assert small.conv_layers == ((256, 3, 2), (256, 1, 1), (256, 1, 1), (256, 1, 1))
    narrow = S4Config(size="small", width=32)
    assert {layer.width for layer in narrow.conv_layers} == {32}
    assert S4Config.model_validate(narrow.model_dump()) == narrow
    assert set(narrow.flops(2500)) == {"stem", "state_spaces", "mixing"}
    # by hand: 4 products of 1250 tokens with 32 x 64, twice for multiplication and addition
    assert narrow.flops(2500, 3)["mixing"] == 3 * 4 * 2 * 1250 * 32 * 64
    assert narrow.flops(2500)["stem"] == 2 * 1250 * (3 * 12 * 32 + 3 * 32 * 32)
