"""The EfficientNet in JAX and its PyTorch file agree, in evaluation and in training."""

import ast
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from interop_models import random_weights

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.shape import Stage
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
SEEDS = range(6)


@pytest.fixture(scope="module")
def torch_model() -> dict[str, Any]:
    source: dict[str, Any] = {"__name__": "torch_model"}
    exec(PORTS["efficientnet"].template.read_text(), source)
    return source


def random_architecture(seed: int) -> Architecture:
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    stages = [
        Stage(
            pick("fused", "mbconv"),
            pick(4, 6, 8),
            pick(1, 2),
            pick(1, 3, 5),
            pick(1, 2, 3),
            pick(1, 2, 3),
            pick(1, 2, 4),
        )
        for _ in range(rng.integers(1, 4))
    ]
    model = EfficientNetConfig(
        leads=pick(12, 8),
        stem_width=pick(4, 6),
        stages=tuple(stages),
        width=pick(8, 12),
        input_scale=pick(1.0, 1 / 0.0048),
        norm_momentum=pick(0.1, 0.3),
        stochastic_depth=0.0,
    )
    kind = ("linear", "attention", None)[seed % 3]
    head = None if kind is None else HeadConfig(kind=kind, heads=pick(None, 2))
    return Architecture(model, head, 0 if head is None else pick(1, 3))


def test_the_seeds_cover_the_variants() -> None:
    stages = [s for seed in SEEDS for s in random_architecture(seed).model.stages]
    assert {s.block for s in stages} == {"fused", "mbconv"}
    assert {s.kernel for s in stages} == {1, 3, 5} and {s.stride for s in stages} == {1, 2, 3}
    assert {s.expansion for s in stages if s.block == "mbconv"} > {1}
    assert {random_architecture(seed).model.input_scale for seed in SEEDS} == {1.0, 1 / 0.0048}


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
    leads = architecture.model.leads
    contract = SignalContract(leads=SignalContract().leads[:leads])
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


@pytest.mark.parametrize("seed", [1, 3])
def test_training_agrees(seed: int, torch_model: dict[str, Any]) -> None:
    """Outputs by batch statistics, running statistics, and the gradient of the input."""
    architecture = random_architecture(seed)
    weights = random_weights(architecture, seed)
    signals = random_signals(architecture, seed)
    module = twin(torch_model, architecture, weights).train()
    inputs = torch.from_numpy(signals).transpose(1, 2).requires_grad_()
    theirs = module(inputs)
    theirs.square().sum().backward()
    links = torch_names.links_of(architecture)
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = torch_names.to_jax(held, links, architecture.shapes())
    graph, state = nnx.split(architecture.module(weights))
    pure = nnx.to_pure_dict(state)

    @jax.jit
    def run(signals: jax.Array) -> Any:
        def loss(signals: jax.Array) -> Any:
            model: Any = nnx.merge(graph, pure)
            y = model(signals, key=jax.random.key(0))
            return jnp.sum(y * y), (y, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))

        return jax.value_and_grad(loss, has_aux=True)(signals)

    with jax.default_matmul_precision("highest"):
        (_, (ours, statistics)), gradient = run(jnp.asarray(signals))
    theirs, slope = theirs.detach().numpy(), inputs.grad.transpose(1, 2).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(gradient, slope, atol=1e-3 * np.abs(slope).max())
    for name, value in flatten(statistics).items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=2e-5, err_msg=name)
        assert np.abs(np.asarray(value) - weights[name]).max() > 0, f"{name} was not updated"


def test_stochastic_depth_drops_the_same_share(torch_model: dict[str, Any]) -> None:
    """A residual block that adds one: in training 1 / (1 - p) for some records, 0 for the rest."""
    from deepecg_jax.models.efficientnet.blocks import drop_records

    ones = np.ones((4000, 2, 3), np.float32)
    ours = np.asarray(drop_records(jnp.asarray(ones), 0.3, jax.random.key(0)))
    block = torch_model["Block"]("fused", 3, 3, 1, 1, 1, 1, 0.3, 0.1).train()
    block.fused_conv = torch.nn.Identity()
    block.se = torch.nn.Identity()
    theirs = (block(torch.from_numpy(ones)) - 1.0).numpy()
    for dropped in (ours, theirs):
        assert set(np.unique(dropped.round(5))) == {0.0, np.float32(1 / 0.7).round(5)}
        assert (dropped == dropped[:, :1, :1]).all()
        assert abs((dropped[:, 0, 0] == 0).mean() - 0.3) < 0.03


def test_names_of_the_original() -> None:
    architecture = Architecture(EfficientNetConfig(variant="s_v2"), HeadConfig(kind="linear"), 77)
    links = torch_names.links_of(architecture)
    shapes = architecture.shapes()
    assert {link.jax for link in links} == shapes.keys()
    found = {link.torch: link.torch_shape(shapes[link.jax]) for link in links}
    assert len(found) == len(links)
    expected = {
        "initial_conv.0.weight": (12, 12, 3),
        "initial_conv.1.norm.num_batches_tracked": (),
        "features.6.fused_conv.0.weight": (32, 24, 5),
        "features.16.depthwise_conv.0.weight": (384, 1, 5),
        "features.33.expand_conv.1.norm.running_var": (768,),
        "features.33.project_conv.0.weight": (128, 768, 1),
        "features.33.se.se.1.weight": (192, 768, 1),
        "features.0.se.se.3.bias": (12,),
        "final_conv.weight": (640, 128, 1),
        "final_conv.bias": (640,),
        "final_norm.norm.weight": (640,),
        "classifier.3.weight": (77, 640),
    }
    assert {name: found[name] for name in expected} == expected


def test_a_count_that_float32_cannot_hold_is_refused() -> None:
    architecture = random_architecture(0)
    links = torch_names.links_of(architecture)
    state = torch_names.to_torch(random_weights(architecture), links)
    state["final_norm.norm.num_batches_tracked"] = np.int64(2**24 + 1)
    with pytest.raises(UserError, match="num_batches_tracked is 16777217, more than 16777216"):
        torch_names.to_jax(state, links, architecture.shapes())


def test_what_the_templates_share_is_the_same() -> None:
    """Each template is a file of its own; heads and file format must not drift apart."""
    parts = {}
    for kind, (_, template, _) in PORTS.items():
        tree = ast.parse(template.read_text())
        nodes = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        parts[kind] = {node.name: ast.unparse(node) for node in nodes}
    for kind in parts.keys() - {"wcr"}:
        shared = parts["wcr"].keys() & parts[kind].keys()
        assert {"load", "save", "build", "read_safetensors", "AttentionHead"} <= shared
        for name in shared - {"Encoder", "Classifier"}:
            assert parts["wcr"][name] == parts[kind][name], (kind, name)
