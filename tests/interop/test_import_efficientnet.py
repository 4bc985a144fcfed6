"""DeepECG-SL's EfficientNet in the forms it is passed on in, to one and the same bundle."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.import_checkpoint import import_efficientnet
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.signals.contract import SignalContract

LABELS = ["AF", "LBBB", "superclass:MI"]
SCALE = 1 / 0.0048


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> bundle.Bundle:
    """Six stages of one block each, as narrow as they go."""
    kinds, strides = ["fused"] * 4 + ["mbconv"] * 2, (1, 1, 2, 2, 2, 2)
    stages = [(kinds[i], 4 + 2 * i, 1, 3, strides[i], 1 if i < 4 else 6, 4) for i in range(6)]
    model = EfficientNetConfig.model_validate(
        {"stem_width": 4, "width": 8, "stages": stages, "input_scale": SCALE}
    )
    architecture = Architecture(model, HeadConfig(kind="linear"), 3)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in architecture.shapes().items():
        arrays[name] = rng.normal(0, 0.3, shape).astype(np.float32)
        if name.endswith(("scale", "variance")):
            arrays[name] = np.abs(arrays[name]) + 0.7
        if name.endswith("batches"):
            arrays[name] = np.full(shape, 12, np.float32)
    folder = tmp_path_factory.mktemp("e") / "bundle"
    bundle.save(
        folder,
        model=model,
        head=HeadConfig(),
        params=architecture.nested(arrays),
        labels=LABELS,
        signal=SignalContract(),
    )
    return bundle.load(folder)


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    return tmp_path / "labels.json"


def state_of(original: bundle.Bundle) -> dict[str, Any]:
    return torch_names.to_torch(original.weights, torch_names.links_of(original.architecture))


@pytest.mark.slow
def test_a_safetensors_file(original, labels, tmp_path) -> None:
    save_file(state_of(original), tmp_path / "m.safetensors")
    found = import_efficientnet(tmp_path / "m.safetensors", tmp_path / "b", labels=labels)
    assert found.fingerprint == original.fingerprint
    assert found.architecture.model.stages == original.architecture.model.stages
    signals = np.random.default_rng(1).normal(0, 0.3, (2, 320, 12)).astype(np.float32)
    np.testing.assert_array_equal(found.logits(signals), original.logits(signals))
    other = import_efficientnet(
        tmp_path / "m.safetensors", tmp_path / "c", input_scale=1.0, labels=labels
    )
    np.testing.assert_allclose(
        other.logits(signals * np.float32(SCALE)), found.logits(signals), rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
def test_every_form_pytorch_passes_on(original, labels, tmp_path, recwarn, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    from deepecg_jax.interop.torch_export import export_torch

    export_torch(original.folder, tmp_path / "torch")
    monkeypatch.syspath_prepend(str(tmp_path / "torch"))
    monkeypatch.delitem(sys.modules, "torch_model", raising=False)
    import torch_model  # pyright: ignore[reportMissingImports]

    module = torch_model.load(tmp_path / "torch")
    torch.save(module.state_dict(), tmp_path / "state.pt")
    torch.save({"model_state_dict": module.state_dict(), "epoch": 3}, tmp_path / "nested.pt")
    torch.jit.trace(module, torch.zeros(1, 12, 320)).save(str(tmp_path / "script.pt"))
    torch.save(module, tmp_path / "whole.pt")
    recwarn.clear()  # PyTorch announces the end of TorchScript
    for name in ("state.pt", "nested.pt", "script.pt"):
        found = import_efficientnet(tmp_path / name, tmp_path / "b", labels=labels)
        assert found.fingerprint == original.fingerprint, name
    with pytest.raises(UserError, match="--trust-pickle"):
        import_efficientnet(tmp_path / "whole.pt", tmp_path / "c", labels=labels)
    found = import_efficientnet(
        tmp_path / "whole.pt", tmp_path / "c", labels=labels, trust_pickle=True
    )
    assert found.fingerprint == original.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("final_norm.norm.running_var"), "missing final_norm.norm.running_var"),
        (lambda s: s.update(extra=np.zeros(3, np.float32)), r"extra extra \(3,\)"),
        (
            lambda s: s.update({"final_conv.bias": np.zeros(9, np.float32)}),
            r"final_conv.bias is \(9,\), expected \(8,\)",
        ),
        (lambda s: s.update({k: v.astype(np.float16) for k, v in s.items()}), "are float16"),
        (lambda s: s.update({"classifier.3.bias": np.full(3, np.nan, np.float32)}), "NaN"),
        (lambda s: s.clear() or s.update(a=np.zeros(2, np.float32)), "no DeepECG-SL Eff"),
    ],
)
def test_misfits_are_named_and_nothing_is_written(
    original, labels, tmp_path, change, words
) -> None:
    state = dict(state_of(original))
    change(state)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=words):
        import_efficientnet(tmp_path / "m.safetensors", tmp_path / "b", labels=labels)
    assert not (tmp_path / "b").exists()


@pytest.mark.real
def test_the_references_small_network(shared, tmp_path) -> None:
    folder = shared / "golden" / "wcr" / "effnet"
    (tmp_path / "labels.json").write_text(json.dumps(list("abcde")))
    made = import_efficientnet(
        folder / "mini_params.safetensors",
        tmp_path / "b",
        input_scale=1.0,
        labels=tmp_path / "labels.json",
    )
    stored = np.load(folder / "mini_outputs.npz")
    ecg = np.load(folder.parent / "inputs.npz")["ecg"][:4, :, :1000]
    ecg = ecg * stored["input_scale"][:, None, None]
    logits = made.logits(ecg.transpose(0, 2, 1))
    expected = stored["logits_eval"]
    assert np.abs(logits - expected).max() <= 2e-5 * np.abs(expected).max()
    assert made.labels == tuple("abcde")
