"""The convolutional networks in JAX and their PyTorch file agree, in evaluation and training."""

import ast
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
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.net1d import basic, bottleneck
from deepecg_jax.models.net1d.config import Net1DConfig
from deepecg_jax.models.net1d.shape import Stage
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
SEEDS = range(6)


@pytest.fixture(scope="module")
def torch_model() -> dict[str, Any]:
    source: dict[str, Any] = {"__name__": "torch_model"}
    exec(PORTS["net1d"].template.read_text(), source)
    return source


def random_architecture(seed: int) -> Architecture:
    """Every choice of the config is met by some seed: the next test holds that."""
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    widths = np.cumsum(rng.integers(0, 3, 3) * 4) + 4  # multiples of 4 that never shrink
    stages = tuple(
        Stage(
            pick("basic", "bottleneck"),
            int(width),
            pick(1, 2),
            pick(1, 3, 4, 16),
            pick(1, 2, 3),
            pick(1, 2, 4),
            pick(1, 2, 8),
        )
        for width in widths
    )
    model = Net1DConfig(
        size="custom",
        leads=pick(12, 8),
        stem_width=4,
        stem_kernel=(1, 4, 7)[seed // 2],
        stem_stride=pick(1, 2),
        stages=stages,
        width=int(widths[-1]),
        activation=pick("relu", "swish"),
        batch_norm=seed % 2 == 0,
        input_scale=pick(1.0, 5.0),
        norm_momentum=pick(0.1, 0.3),
    )
    kind = ("linear", "attention", None)[seed % 3]
    head = None if kind is None else HeadConfig(kind=kind, heads=pick(None, 2))
    return Architecture(model, head, 0 if head is None else pick(1, 3))


def test_the_seeds_cover_the_variants() -> None:
    models = [random_architecture(seed).model for seed in SEEDS]
    stages = [stage for model in models for stage in model.stages]
    assert {s.block for s in stages} == {"basic", "bottleneck"}
    assert {s.kernel for s in stages} == {1, 3, 4, 16} and {s.stride for s in stages} == {1, 2, 3}
    assert {s.group_width for s in stages if s.block == "bottleneck"} == {1, 2, 4}
    assert {model.stages[0].block for model in models} == {"basic", "bottleneck"}
    for name, values in (
        ("activation", {"relu", "swish"}),
        ("stem_kernel", {1, 4, 7}),
        ("input_scale", {1.0, 5.0}),
    ):
        assert {getattr(model, name) for model in models} == values


def twin(torch_model: dict[str, Any], architecture: Architecture, weights: Any) -> Any:
    """The PyTorch module with the same weights."""
    state = torch_names.to_torch(weights, torch_names.links_of(architecture))
    module = torch_model["build"](architecture.to_dict(), ["label"] * architecture.n_labels)
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    return module.eval()


def random_signals(architecture: Architecture, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (4, int(rng.integers(40, 120)), architecture.model.leads)
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_evaluation_agrees_and_weights_return(seed: int, torch_model: dict[str, Any]) -> None:
    architecture = random_architecture(seed)
    weights = random_weights(architecture, seed)
    module = twin(torch_model, architecture, weights)
    contract = SignalContract(leads=SignalContract().leads[: architecture.model.leads])
    run = Runner(architecture.module(weights), architecture.model, contract, "random")
    output = "tokens" if architecture.head is None else "logits"
    signals = random_signals(architecture, seed)
    ours = run(output, signals, None, None, None, 4)
    with torch.no_grad():
        theirs = module(torch.from_numpy(signals).transpose(1, 2)).numpy()
    assert ours.shape == theirs.shape
    if architecture.head is None:
        assert ours.shape[1] == architecture.model.n_tokens(signals.shape[1])
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(ours).max())
    # and back: what PyTorch holds is what came in, to the bit
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    links = torch_names.links_of(architecture)
    back = torch_names.to_jax(held, links, architecture.shapes())
    assert all(back[name].tobytes() == value.tobytes() for name, value in weights.items())


@pytest.mark.slow
def test_training_agrees(torch_model: dict[str, Any]) -> None:
    """Outputs by batch statistics, running statistics, and the gradient of every weight."""
    stages = (Stage("basic", 8, 1, 5, 2), Stage("bottleneck", 12, 1, 4, 2, 4))
    model = Net1DConfig(size="custom", stem_width=4, stages=stages, width=12)
    architecture = Architecture(model)
    weights = random_weights(architecture)
    signals = random_signals(architecture, 0)
    module = twin(torch_model, architecture, weights).train()
    theirs = module(torch.from_numpy(signals).transpose(1, 2))
    theirs.square().sum().backward()
    links = torch_names.links_of(architecture)
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = torch_names.to_jax(held, links, architecture.shapes())
    # what has no gradient there is no parameter there
    learned = {name: value.grad.numpy() for name, value in module.named_parameters()}
    links = [link for link in links if link.torch in learned]
    shapes = {link.jax: architecture.shapes()[link.jax] for link in links}
    expected_slopes = torch_names.to_jax(learned, links, shapes)
    graph, *state = nnx.split(architecture.module(weights), nnx.Param, nnx.BatchStat)
    params, running = (nnx.to_pure_dict(part) for part in state)

    @jax.jit
    def run(params: Any, signals: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            model: Any = nnx.merge(graph, params, running)
            y = model(signals, key=jax.random.key(0)).tokens
            return jnp.sum(y * y), (y, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))

        return jax.value_and_grad(loss, has_aux=True)(params)

    with jax.default_matmul_precision("highest"):
        (_, (ours, statistics)), slopes = run(params, jnp.asarray(signals))
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())
    found = flatten(slopes)
    assert found.keys() == expected_slopes.keys()
    largest = max(np.abs(value).max() for value in expected_slopes.values())
    for name, value in expected_slopes.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4 * largest, err_msg=name)
    for name, value in flatten(statistics).items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=2e-5, err_msg=name)
        assert np.abs(np.asarray(value) - weights[name]).max() > 0, f"{name} was not updated"


class Quarter(torch.nn.Module):
    """Stands where dropout stands."""

    def forward(self, x: Any) -> Any:
        return 0.25 * x


def test_dropout_is_in_the_same_places(
    torch_model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a factor in its place on both sides."""
    for block in (basic, bottleneck):
        monkeypatch.setattr(block, "dropout", lambda x, rate, key: rate * x)
    stages = (Stage("basic", 4, 1, 3, 2), Stage("bottleneck", 4, 1, 3, 1, 2))
    shape: dict[str, Any] = {"stem_width": 4, "width": 4, "batch_norm": False, "dropout": 0.25}
    both = Net1DConfig(size="custom", stages=stages, **shape)
    first = Net1DConfig(size="custom", stages=stages[1:], **shape)
    for config in (both, first):
        architecture = Architecture(config)
        weights = random_weights(architecture)
        module = twin(torch_model, architecture, weights)
        places = [part for part in module.modules() if hasattr(part, "drop")]
        assert len(places) == len(config.stages)
        assert all(part.drop.p == 0.25 for part in places)
        for part in places:
            part.drop = Quarter()
        x = random_signals(architecture, 0)
        encoder: Any = architecture.module(weights)
        with torch.no_grad():
            theirs = module(torch.from_numpy(x).transpose(1, 2)).numpy()
        ours = encoder(jnp.asarray(x), key=jax.random.key(0)).tokens
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def test_names_of_the_original() -> None:
    architecture = Architecture(Net1DConfig(size="ecgfounder"), HeadConfig(kind="linear"), 150)
    links = torch_names.links_of(architecture)
    shapes = architecture.shapes()
    assert {link.jax for link in links} == shapes.keys()
    found = {link.torch: link.torch_shape(shapes[link.jax]) for link in links}
    assert len(found) == len(links)
    expected = {
        "first_conv.conv.weight": (64, 12, 16),
        "first_conv.conv.bias": (64,),
        "stage_list.0.block_list.0.conv1.conv.weight": (64, 64, 1),
        "stage_list.1.block_list.0.conv1.conv.weight": (160, 64, 1),
        "stage_list.6.block_list.3.conv2.conv.weight": (1024, 16, 16),
        "stage_list.6.block_list.3.conv3.conv.bias": (1024,),
        "stage_list.3.block_list.2.se_fc1.weight": (200, 400),
        "stage_list.3.block_list.2.se_fc2.bias": (400,),
        "dense.weight": (150, 1024),
    }
    assert {name: found[name] for name in expected} == expected


def test_what_the_templates_share_is_the_same() -> None:
    """A template is a file of its own; heads and file format must not drift apart."""
    parts = {}
    for kind in ("efficientnet", "net1d"):
        tree = ast.parse(PORTS[kind].template.read_text())
        nodes = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        parts[kind] = {node.name: ast.unparse(node) for node in nodes}
    shared = parts["efficientnet"].keys() & parts["net1d"].keys()
    assert {"load", "save", "build", "read_safetensors", "AttentionHead"} <= shared
    for name in shared - {"Encoder", "Classifier"}:
        assert parts["efficientnet"][name] == parts["net1d"][name], name


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "onnx", "stablehlo"])
def test_every_export_is_certified(tmp_path: Path, format: str) -> None:
    """Both kinds of block, at three lengths of which two are odd somewhere on the way."""
    if format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
        from deepecg_jax.interop.onnx_export import export_onnx as export
    elif format == "stablehlo":
        pytest.importorskip("flatbuffers")
        from deepecg_jax.interop.stablehlo_export import export_stablehlo as export
    else:
        from deepecg_jax.interop.torch_export import export_torch as export
    stages = (Stage("basic", 8, 1, 5, 4), Stage("bottleneck", 12, 1, 16, 2, 4))
    model = Net1DConfig(size="custom", stem_width=4, stages=stages, width=12)
    head = HeadConfig(kind="linear")
    architecture = Architecture(model, head, 2)
    bundle.save(
        tmp_path / "b",
        model=model,
        head=head,
        params=architecture.nested(random_weights(architecture)),
        labels=["a", "b"],
        signal=SignalContract(),
    )
    certificate = export(tmp_path / "b", tmp_path / "out")
    assert certificate["verified"] and certificate["max_abs_difference"] <= 1e-4
    assert certificate["max_abs_output"] > 0.1
