"""The EfficientNet against the stored numbers of the PyTorch reference.

The reference ran in float32 with random weights; `golden/wcr/effnet` holds its parameters,
activations, a training pass with gradients, and the running statistics after it. Tolerances,
relative to the largest entry of an array: 2e-5 forward, 1e-3 gradients.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.interop import torch_names
from deepecg_jax.models.efficientnet.blocks import leaky_relu
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.convolution import convolve
from deepecg_jax.models.efficientnet.shape import VARIANTS
from deepecg_jax.models.heads import Classifier

pytestmark = pytest.mark.real
FORWARD, GRADIENT = 2e-5, 1e-3
# mathematically zero in training, so the stored values are rounding noise: only 1 x 1 convolutions
# (and residual sums) stand between these and a batch norm, which subtracts any constant
ZERO_GRADIENT = ("final_conv.bias", "project_conv.1.norm.bias")


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "wcr" / "effnet"


@pytest.fixture(scope="module")
def architecture(folder: Path) -> Architecture:
    values = json.loads((folder / "config.json").read_text())["mini"]["kwargs"]
    stem, *widths, tail = values["base_channels"]
    _, *depths = values["base_depths"]  # the first is unused there
    shape = VARIANTS[values["variant"]]["stages"]
    model = EfficientNetConfig(
        variant=values["variant"],
        leads=values["input_channels"],
        stem_width=stem,
        stages=tuple(
            stage._replace(width=width, depth=depth)
            for stage, width, depth in zip(shape, widths, depths, strict=True)
        ),
        width=tail,
        stochastic_depth=values["stochastic_depth_prob"],
    )
    return Architecture(model, HeadConfig(kind="linear"), values["num_classes"])


@pytest.fixture(scope="module")
def arrays(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "mini_outputs.npz"))


@pytest.fixture(scope="module")
def signal(folder: Path, arrays: dict[str, np.ndarray]) -> jax.Array:
    ecg = np.load(folder.parent / "inputs.npz")["ecg"][:4, :, :1000]
    return jnp.asarray((ecg * arrays["input_scale"][:, None, None]).transpose(0, 2, 1))


@pytest.fixture
def model(folder: Path, architecture: Architecture) -> Classifier:
    state = load_file(folder / "mini_params.safetensors")
    links = torch_names.links_of(architecture)
    module = architecture.module(torch_names.to_jax(state, links, architecture.shapes()))
    assert isinstance(module, Classifier)
    return module


def _assert_close(found: Any, expected: Any, name: str, tolerance: float = FORWARD) -> None:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, name
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{name}: {error:.2e} of the largest entry"


@pytest.mark.slow
def test_blocks_and_parameters_of_the_published_variants(folder: Path) -> None:
    full = json.loads((folder / "config.json").read_text())["full"]
    counts = full["other_variants_n_params"]
    assert counts.keys() == VARIANTS.keys()
    for variant, count in counts.items():
        config = EfficientNetConfig.model_validate({"variant": variant})
        shapes = Architecture(config, HeadConfig(kind="linear"), full["num_classes"]).shapes()
        statistics = (".mean", ".variance", ".batches")
        trained = {n: s for n, s in shapes.items() if not n.endswith(statistics)}
        assert sum(int(np.prod(shape)) for shape in trained.values()) == count, variant
        if variant == full["variant"]:
            total = sum(int(np.prod(shape)) for shape in shapes.values())
            assert total == full["n_state_values"]
    blocks, length = iter(full["blocks"]), 2500
    deployed = EfficientNetConfig.model_validate({"variant": full["variant"]})
    n_in = deployed.stem_width
    for stage in deployed.stages:
        for i in range(stage.depth):
            stride = stage.stride if i == 0 else 1
            length = -(-length // stride)
            fused = stage.block == "fused"
            mid = None if fused else n_in * stage.expansion
            assert next(blocks) | {"index": 0, "params": 0} == {
                "index": 0,
                "params": 0,
                "type": "FusedMBConv1d" if fused else "MBConv1d",
                "in_channels": n_in,
                "out_channels": stage.width,
                "kernel": stage.kernel,
                "stride": stride,
                "residual": stride == 1 and n_in == stage.width,
                "mid_channels": mid,
                "se_reduced": (mid or stage.width) // stage.reduction,
                "out_length": length,
            }
            n_in = stage.width
    assert next(blocks, None) is None


def test_weights_survive_both_directions_bit_exactly(
    architecture: Architecture, folder: Path
) -> None:
    links = torch_names.links_of(architecture)
    for name in ("mini_params", "mini_running_stats_after_train_step"):
        # the second file holds only what a pass changes
        state = load_file(folder / "mini_params.safetensors") | load_file(
            folder / f"{name}.safetensors"
        )
        back = torch_names.to_torch(torch_names.to_jax(state, links, architecture.shapes()), links)
        assert back.keys() == state.keys()
        for key, value in state.items():
            assert value.dtype == back[key].dtype and value.tobytes() == back[key].tobytes(), key


@pytest.mark.slow
def test_evaluation(model: Classifier, arrays: dict[str, np.ndarray], signal: jax.Array) -> None:
    encoder: Any = model.encoder
    x = leaky_relu(encoder.stem(signal, False))
    _assert_close(x.transpose(0, 2, 1), arrays["eval_initial_conv"], "initial_conv")
    for i, block in enumerate(encoder.blocks):
        x = block(x)
        _assert_close(x.transpose(0, 2, 1), arrays[f"eval_block{i}"], f"block{i}")
    y = convolve(x, encoder.tail.kernel[...]) + encoder.tail.bias[...]
    _assert_close(y.transpose(0, 2, 1), arrays["eval_final_conv"], "final_conv")
    tokens = encoder(signal).tokens
    _assert_close(tokens.transpose(0, 2, 1), arrays["eval_final_norm"], "final_norm")
    _assert_close(model(signal), arrays["logits_eval"], "logits")


@pytest.mark.slow
def test_training_pass(
    model: Classifier,
    architecture: Architecture,
    arrays: dict[str, np.ndarray],
    signal: jax.Array,
    folder: Path,
) -> None:
    graph, *state = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, statistics = (nnx.to_pure_dict(part) for part in state)
    labels = jnp.asarray(arrays["labels"])

    def loss(params: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(graph, params, statistics)
        logits = model(signal, key=jax.random.key(0))
        value = jnp.mean(jax.nn.softplus(logits) - labels * logits)
        return value, (logits, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updated)), gradient = step(params)
    _assert_close(logits, arrays["logits_train"], "logits_train")
    _assert_close(value, arrays["loss_train_bce_mean"], "loss_train_bce_mean")

    links = torch_names.links_of(architecture)
    trained = flatten(gradient)
    found = torch_names.to_torch(
        {n: np.asarray(v) for n, v in trained.items()}, [k for k in links if k.jax in trained]
    )
    expected = load_file(folder / "mini_grads_train.safetensors")
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        if name.endswith(ZERO_GRADIENT):
            assert max(np.abs(found[name]).max(), np.abs(theirs).max()) < 1e-6, name
        else:
            _assert_close(found[name], theirs, f"gradient of {name}", GRADIENT)

    kept = flatten(updated)
    found = torch_names.to_torch(
        {n: np.asarray(v) for n, v in kept.items()}, [k for k in links if k.jax in kept]
    )
    expected = load_file(folder / "mini_running_stats_after_train_step.safetensors")
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        _assert_close(found[name], theirs, name)
