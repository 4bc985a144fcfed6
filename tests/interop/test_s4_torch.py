"""The S4 encoder in JAX and its PyTorch file agree, in evaluation, in training and as ONNX."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from interop_models import random_weights

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.bundle.weights import Weights, flatten
from deepecg_jax.interop import parity, torch_names
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.s4.config import S4Config
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
SEEDS = range(6)


@pytest.fixture(scope="module")
def torch_model() -> dict[str, Any]:
    source: dict[str, Any] = {"__name__": "torch_model"}
    exec(PORTS["s4"].template.read_text(), source)
    return source


def random_architecture(seed: int) -> Architecture:
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    width = pick(4, 6)
    model = S4Config(
        leads=pick(12, 8),
        width=width,
        conv_layers=[(pick(3, 5), pick(1, 3, 4), pick(1, 2)), (width, pick(1, 3), pick(1, 3))],
        layers=pick(1, 2),
        state=pick(2, 4, 8),
        direction=("causal", "bidirectional")[seed % 2],
        kernel=("nplr", "diagonal")[seed // 2 % 2],
        learn_state=bool(seed // 3 % 2),
        dropout=0.0,
    )
    kind = ("linear", "attention", None)[seed % 3]
    head = None if kind is None else HeadConfig(kind=kind, heads=pick(None, 2))
    return Architecture(model, head, 0 if head is None else pick(1, 3))


def weights_of(architecture: Architecture, seed: int = 0) -> Weights:
    """Random ones, with steps and frequencies in the range of the layer."""
    rng = np.random.default_rng(seed)
    weights = random_weights(architecture, seed)
    for name, value in weights.items():
        if name.endswith("log_step"):
            weights[name] = rng.uniform(-6.9, -2.3, value.shape).astype(np.float32)
        elif name.endswith("frequency"):
            weights[name] = rng.uniform(0.5, 10.0, value.shape).astype(np.float32)
    return weights


def twin(torch_model: dict[str, Any], architecture: Architecture, weights: Weights) -> Any:
    """The PyTorch module with the same weights."""
    state = torch_names.to_torch(weights, torch_names.links_of(architecture))
    module = torch_model["build"](architecture.to_dict(), ["label"] * architecture.n_labels)
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    return module.eval()


def random_signals(architecture: Architecture, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (3, (60, 500)[seed // 2 % 2] + seed, architecture.model.leads)
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_evaluation_agrees_and_weights_return(seed: int, torch_model: dict[str, Any]) -> None:
    architecture = random_architecture(seed)
    weights = weights_of(architecture, seed)
    module = twin(torch_model, architecture, weights)
    contract = SignalContract(leads=SignalContract().leads[: architecture.model.leads])
    run = Runner(architecture.module(weights), architecture.model, contract, "random")
    output = "tokens" if architecture.head is None else "logits"
    signals = random_signals(architecture, seed)
    ours = run(output, signals, None, None, None, 4)
    with torch.no_grad():
        theirs = module(torch.from_numpy(signals).transpose(1, 2)).numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=5e-5 * np.abs(ours).max())
    # and back: what PyTorch holds is what came in, to the bit
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    links = torch_names.links_of(architecture)
    back = torch_names.to_jax(held, links, architecture.shapes())
    assert all(back[name].tobytes() == value.tobytes() for name, value in weights.items())
    # and PyTorch trains what we train
    trained = {name for name, _ in module.named_parameters()}
    ours_trained = nnx.state(architecture.module(weights), nnx.Param)
    assert trained == {x.torch for x in links if x.jax in flatten(nnx.to_pure_dict(ours_trained))}


@pytest.mark.slow
def test_training_agrees(torch_model: dict[str, Any]) -> None:
    """Outputs by batch statistics, running statistics, and the gradient of the input."""
    architecture = random_architecture(5)
    weights = weights_of(architecture)
    signals = random_signals(architecture, 1)
    module = twin(torch_model, architecture, weights).train()
    inputs = torch.from_numpy(signals).transpose(1, 2).requires_grad_()
    theirs = module(inputs)
    (theirs**2 * torch.cos(torch.arange(theirs.numel()).reshape(theirs.shape))).sum().backward()
    links = torch_names.links_of(architecture)
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = torch_names.to_jax(held, links, architecture.shapes())
    graph, state = nnx.split(architecture.module(weights))
    pure = nnx.to_pure_dict(state)

    @jax.jit
    def run(signals: jax.Array) -> Any:
        def loss(signals: jax.Array) -> Any:
            model: Any = nnx.merge(graph, pure)
            y = model(signals, key=jax.random.key(0)).tokens
            weight = jnp.cos(jnp.arange(y.size).reshape(y.shape))
            return jnp.sum(y * y * weight), (y, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))

        return jax.value_and_grad(loss, has_aux=True)(signals)

    with jax.default_matmul_precision("highest"):
        (_, (ours, statistics)), gradient = run(jnp.asarray(signals))
    theirs, slope = theirs.detach().numpy(), inputs.grad.transpose(1, 2).numpy()
    np.testing.assert_allclose(ours, theirs, atol=5e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(gradient, slope, atol=1e-3 * np.abs(slope).max())
    for name, value in flatten(statistics).items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=2e-5, err_msg=name)


def test_dropout_drops_channels(torch_model: dict[str, Any]) -> None:
    layer = torch_model["S4Layer"](S4Config(width=50, dropout=0.2).model_dump()).train()
    dropped = layer.drop(torch.ones(40, 5, 50)).numpy()
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped)) == {0.0, np.float32(1.25)}
    assert abs((dropped[:, 0] == 0).mean() - 0.2) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "onnx", "stablehlo"])
def test_every_format_is_certified(tmp_path: Path, format: str) -> None:
    from deepecg_jax.interop.onnx_export import export_onnx
    from deepecg_jax.interop.stablehlo_export import export_stablehlo
    from deepecg_jax.interop.torch_export import export_torch

    for package in {"onnx": ("onnxscript", "onnxruntime"), "stablehlo": ("flatbuffers",)}.get(
        format, ()
    ):
        pytest.importorskip(package)
    model = S4Config(size="tiny", width=8, layers=1, direction="bidirectional")
    architecture = Architecture(model, HeadConfig(kind="linear"), 2)
    bundle.save(
        tmp_path / "b",
        model=model,
        head=architecture.head,
        params=architecture.nested(weights_of(architecture)),
        labels=["a", "b"],
        signal=SignalContract(),
    )
    export = {"torch": export_torch, "onnx": export_onnx, "stablehlo": export_stablehlo}[format]
    certificate = export(tmp_path / "b", tmp_path / "out")
    assert certificate["verified"] and certificate["max_abs_difference"] <= parity.BOUND
    assert certificate["max_abs_output"] > 0.05
