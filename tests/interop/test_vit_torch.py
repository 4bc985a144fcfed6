"""The patch transformer in JAX and its PyTorch file agree; so do its exports."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interop_models import random_weights

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.torch_export import export_torch
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.vit.config import ViTConfig
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
SHAPE: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "ffn_width": 24}
CASES = {
    "all leads": (ViTConfig(**SHAPE, patch_samples=10), None),
    "all leads, biases": (ViTConfig(**SHAPE, patch_samples=7, biases=True), "attention"),
    "per lead": (ViTConfig(**SHAPE, patches="per_lead", leads=8), "linear"),
    "cross": (ViTConfig(**SHAPE, patches="per_lead", attention_pattern="cross"), None),
    "one lead": (ViTConfig(**SHAPE, patches="per_lead", leads=1, biases=True), "linear"),
}


def architecture_of(name: str) -> Architecture:
    model, kind = CASES[name]
    if kind is None:
        return Architecture(model)
    return Architecture(model, HeadConfig.model_validate({"kind": kind}), 3)


@pytest.fixture(scope="module")
def torch_model() -> dict[str, Any]:
    source: dict[str, Any] = {"__name__": "torch_model"}
    exec(PORTS["vit"].template.read_text(), source)
    return source


@pytest.mark.parametrize("name", CASES)
def test_outputs_agree_and_weights_return(name: str, torch_model: dict[str, Any]) -> None:
    architecture = architecture_of(name)
    weights = random_weights(architecture)
    links = torch_names.links_of(architecture)
    assert {link.jax for link in links} == weights.keys()
    state = torch_names.to_torch(weights, links)
    module = torch_model["build"](architecture.to_dict(), ["label"] * architecture.n_labels).eval()
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    leads = architecture.model.leads
    contract = SignalContract(leads=SignalContract().leads[:leads])
    run = Runner(architecture.module(weights), architecture.model, contract, "random")
    signals = np.random.default_rng(0).standard_normal((2, 217, leads)).astype(np.float32)
    signals[0, :, 0] = 0.0
    output = "tokens" if architecture.head is None else "logits"
    ours = run(output, signals, None, None, None, 2)
    with torch.no_grad():
        theirs = module(torch.from_numpy(signals).transpose(1, 2)).numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(ours).max())
    # and back: what PyTorch holds is what came in, to the bit
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    back = torch_names.to_jax(held, links, architecture.shapes())
    assert all(back[name].tobytes() == value.tobytes() for name, value in weights.items())


@pytest.mark.slow
def test_the_register_agrees(torch_model: dict[str, Any]) -> None:
    architecture = architecture_of("cross")
    weights = random_weights(architecture)
    state = torch_names.to_torch(weights, torch_names.links_of(architecture))
    module = torch_model["build"](architecture.to_dict(), []).eval()
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    signals = np.random.default_rng(0).standard_normal((2, 100, 12)).astype(np.float32)
    encoder: Any = architecture.module(weights)
    with torch.no_grad():
        theirs = module.summarised(torch.from_numpy(signals).transpose(1, 2))[1].numpy()
    np.testing.assert_allclose(encoder(signals).summary, theirs, atol=2e-5)


def test_layouts_of_timm() -> None:
    architecture = architecture_of("per lead")
    links = torch_names.links_of(architecture)
    shapes = architecture.shapes()
    found = {link.torch: link.torch_shape(shapes[link.jax]) for link in links}
    expected = {
        "encoder.patch_embed.proj.weight": (16, 1, 50),
        "encoder.reg_token": (1, 1, 16),
        "encoder.lead_embed": (8, 16),
        "encoder.blocks.1.attn.qkv.weight": (48, 16),
        "encoder.blocks.0.mlp.fc1.weight": (24, 16),
        "encoder.norm.weight": (16,),
        "head.bias": (3,),
    }
    assert {name: found[name] for name in expected} == expected
    assert "encoder.norm.bias" not in found and len(found) == len(links)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit") / "bundle"
    shape = SHAPE | {"layers": 1, "patch_samples": 125}
    model = ViTConfig(**shape, patches="per_lead", attention_pattern="cross")
    architecture = Architecture(model, HeadConfig(kind="linear"), 2)
    params = architecture.nested(random_weights(architecture))
    labels = ["AF", "LBBB"]
    signal = SignalContract(seconds=5.0)
    bundle.save(
        folder, model=model, head=architecture.head, params=params, labels=labels, signal=signal
    )
    return folder


@pytest.mark.slow
def test_the_torch_folder_is_certified(saved: Path, tmp_path: Path) -> None:
    certificate = export_torch(saved, tmp_path / "out")
    assert certificate["verified"] and certificate["max_abs_difference"] <= 1e-4
    assert certificate["max_abs_output"] > 0.1  # a difference of nothing proves nothing


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "stablehlo"])
def test_other_formats_are_certified(saved: Path, tmp_path: Path, format: str) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "flatbuffers"):
        pytest.importorskip(package)
    from deepecg_jax.interop.onnx_export import export_onnx
    from deepecg_jax.interop.stablehlo_export import export_stablehlo

    export = {"onnx": export_onnx, "stablehlo": export_stablehlo}[format]
    assert export(saved, tmp_path / "out")["verified"]
