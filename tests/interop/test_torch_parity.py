"""JAX and ``torch_model.py`` agree over random architectures and weights."""

import importlib.util
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from interop_models import random_weights

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
SEEDS = range(12)


@pytest.fixture(scope="module")
def torch_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("torch_model", PORTS["wcr"].template)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_architecture(seed: int) -> Architecture:
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    heads = pick(1, 2, 4)
    width = heads * pick(8, 12)
    layers = [
        (int(rng.integers(4, 10)), int(rng.integers(1, 6)), int(rng.integers(1, 4)))
        for _ in range(rng.integers(1, 4))
    ]
    if seed % 3 == 0:
        layers[-1] = (width, *layers[-1][1:])  # no projection
    model = WCRConfig(
        leads=pick(12, 12, 8),
        conv_layers=layers,
        conv_bias=bool(seed % 2),
        width=width,
        layers=pick(1, 2, 3),
        heads=heads,
        ffn_width=pick(8, 20),
        layer_norm_first=bool(seed // 2 % 2),
        positional_kernel=pick(1, 2, 5, 16, 31, 300),
        positional_groups=pick(1, 2, width),
        scan_unroll=pick(1, 2),
    )
    kind = pick("linear", "attention", None)
    head = None if kind is None else HeadConfig(kind=kind, heads=pick(None, 1, 2, 4))
    return Architecture(model, head, 0 if head is None else pick(1, 5))


def test_the_seeds_cover_the_variants() -> None:
    architectures = [random_architecture(seed) for seed in SEEDS]
    models = [a.model for a in architectures]
    assert {None if a.head is None else a.head.kind for a in architectures} == {
        *("linear", "attention"),
        None,
    }
    assert {m.layer_norm_first for m in models} == {False, True}
    assert {m.conv_bias for m in models} == {False, True}
    assert {m.conv_layers[-1].width == m.width for m in models} == {False, True}
    assert {m.positional_kernel % 2 for m in models} == {0, 1}
    strided = {layer.kernel == layer.stride for m in models for layer in m.conv_layers}
    assert strided == {False, True}
    assert len({m.positional_groups for m in models}) > 2


@pytest.mark.parametrize("seed", SEEDS)
def test_outputs_agree(seed: int, torch_model: ModuleType) -> None:
    architecture = random_architecture(seed)
    weights = random_weights(architecture, seed)
    links = torch_names.links_of(architecture)
    state = torch_names.to_torch(weights, links)
    module = torch_model.build(architecture.to_dict(), ["label"] * architecture.n_labels).eval()
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    rng = np.random.default_rng(seed)
    leads = architecture.model.leads
    contract = SignalContract(leads=SignalContract().leads[:leads])
    run = Runner(architecture.module(weights), architecture.model, contract, "random")
    output = "tokens" if architecture.head is None else "logits"
    length = int(rng.integers(100, 400))
    signals = rng.standard_normal((3, length, leads)).astype(np.float32)
    signals[0, :, 2] = 0.0
    ours = run(output, signals, None, None, None, 4)
    with torch.no_grad():
        theirs = module(torch.from_numpy(signals).transpose(1, 2)).numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(ours).max())
    # and back: what PyTorch holds is what came in, to the bit
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    back = torch_names.to_jax(held, links, architecture.shapes())
    assert all(back[name].tobytes() == value.tobytes() for name, value in weights.items())
