"""Exported folders: complete, certified by running both sides, usable without this package."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from interop_models import random_weights
from toys import ToyConfig
from typer.testing import CliRunner

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.weights import read
from deepecg_jax.cli import export as cli
from deepecg_jax.errors import UserError
from deepecg_jax.interop import parity, torch_export, torch_names
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.signals.contract import SignalContract

TORCH_ALONE = """
import json, sys
for name in ("jax", "flax", "safetensors", "deepecg_jax"):
    sys.modules[name] = None
import numpy, torch
from torch_model import load
model = load(".")
assert isinstance(model, torch.nn.Module) and not model.training
with torch.no_grad():
    output = model(torch.from_numpy(numpy.load("signals.npy")))
numpy.save("output.npy", output.numpy())
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, save_bundle: Any) -> Path:
    """Folder with the bundles ``linear`` and ``encoder`` and their PyTorch exports ``*_torch``."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("exports")
    for name, kind in (("linear", "linear"), ("encoder", None)):
        save_bundle(folder / name, kind)
        torch_export.export_torch(folder / name, folder / f"{name}_torch")
    return folder


@pytest.mark.slow
def test_torch_folder(exported: Path) -> None:
    folder = exported / "linear_torch"
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "torch_model.py", "config.json", "signal.json", "labels.json"),
        *("thresholds.json", "parity.json", "README.md", "MODEL_CARD.md"),
    }
    assert not (exported / "encoder_torch" / "thresholds.json").exists()
    for name, output in (("linear", "logits"), ("encoder", "tokens")):
        certificate = json.loads((exported / f"{name}_torch" / "parity.json").read_text())
        assert certificate["verified"] is True and certificate["output"] == output
        assert 0.0 <= certificate["max_abs_difference"] <= certificate["bound"] == 1e-4
        assert certificate["max_abs_output"] > 0.1  # a difference of nothing proves nothing
        assert certificate["n_records"] == 16 and certificate["dtype"] == "float32"
        assert certificate["lengths"] == [2500, 1250, 2000]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "encoder"])
def test_torch_alone_gives_the_same_numbers(exported: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(exported / f"{name}_torch", tmp_path / "elsewhere"))
    signals = parity.realistic_signals(SignalContract(), 4)
    np.save(folder / "signals.npy", np.ascontiguousarray(signals.transpose(0, 2, 1)))
    subprocess.run([sys.executable, "-c", TORCH_ALONE], cwd=folder, check=True, timeout=120)
    ours = parity.reference(bundle.load(exported / name), signals)
    np.testing.assert_allclose(np.load(folder / "output.npy"), ours, atol=1e-4)


def test_a_wrong_twin_is_not_written(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = torch_names.PORTS["wcr"].template.read_text()
    wrong = source.replace("F.gelu(self.fc1(x))", "F.gelu(self.fc1(x), approximate='tanh')")
    assert wrong != source
    (tmp_path / "wrong.py").write_text(wrong)
    wrong = torch_names.PORTS["wcr"]._replace(template=tmp_path / "wrong.py")
    monkeypatch.setitem(torch_names.PORTS, "wcr", wrong)
    with pytest.raises(UserError, match=r"differs from the bundle by .* nothing was written"):
        torch_export.export_torch(exported / "linear", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.py"]


def test_without_torch(tmp_path: Path, save_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    save_bundle(tmp_path / "b")
    monkeypatch.setattr(torch_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'deepecg_jax\[torch\]'"):
        torch_export.export_torch(tmp_path / "b", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    torch_export.export_torch(tmp_path / "b", tmp_path / "out", verify=False)
    certificate = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert certificate["verified"] is False and certificate["max_abs_difference"] is None
    assert certificate["n_records"] == 0


def test_trained_in_torch_and_back(exported: Path, tmp_path: Path) -> None:
    import torch

    folder = Path(shutil.copytree(exported / "linear_torch", tmp_path / "trained"))
    namespace: dict[str, Any] = {"__name__": "torch_model"}
    exec((folder / "torch_model.py").read_text(), namespace)
    model = namespace["load"](folder)
    signals = torch.from_numpy(parity.realistic_signals(SignalContract(), 2)).transpose(1, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()(signals).square().sum().backward()
    optimizer.step()
    namespace["save"](model, folder)
    original = bundle.load(exported / "linear")
    links = torch_names.links_of(original.architecture)
    arrays = torch_names.to_jax(
        read(folder / "model.safetensors"), links, original.architecture.shapes()
    )
    changed = [n for n, v in arrays.items() if (v != original.weights[n]).any()]
    assert len(changed) > 20
    for link in links:
        value = model.state_dict()[link.torch].numpy()
        np.testing.assert_array_equal(link.to_torch(arrays[link.jax]), value)


def test_damaged_export_is_not_loaded(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported / "linear_torch", tmp_path / "damaged"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-4])
    with pytest.raises(ValueError, match="cut short"):
        torch_export.load_folder(folder)


def test_realistic_signals_obey_the_contract() -> None:
    contract = SignalContract(sampling_rate=500.0, seconds=12.0, leads=("II", "V1"))
    signals = parity.realistic_signals(contract, 4)
    assert signals.shape == (4, 6000, 2) and signals.dtype == np.float32
    assert np.isfinite(signals).all() and (signals[0, :, 0] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", None])
def test_stablehlo(tmp_path: Path, save_bundle: Any, kind: str | None) -> None:
    pytest.importorskip("flatbuffers")
    from jax import export

    from deepecg_jax.interop.stablehlo_export import export_stablehlo

    save_bundle(tmp_path / "b", kind)
    certificate = export_stablehlo(tmp_path / "b", tmp_path / "out")
    assert certificate["verified"] and certificate["max_abs_difference"] <= 1e-4
    model = export.deserialize(bytearray((tmp_path / "out" / "model.stablehlo").read_bytes()))
    assert model.platforms == ("cpu", "cuda", "tpu")
    signals = parity.realistic_signals(SignalContract(), 3)  # another batch than the certificate's
    output = model.call(read(tmp_path / "out" / "model.safetensors"), signals)
    ours = parity.reference(bundle.load(tmp_path / "b"), signals)
    np.testing.assert_allclose(output, ours, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", None])
@pytest.mark.slow
def test_onnx(tmp_path: Path, save_bundle: Any, kind: str | None) -> None:
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    from deepecg_jax.interop.onnx_export import export_onnx

    save_bundle(tmp_path / "b", kind)
    certificate = export_onnx(tmp_path / "b", tmp_path / "out")
    assert certificate["verified"] and certificate["max_abs_difference"] <= 1e-4
    signals = parity.realistic_signals(SignalContract(), 3)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    inputs = {"signals": np.ascontiguousarray(signals.transpose(0, 2, 1))}
    ours = parity.reference(bundle.load(tmp_path / "b"), signals)
    np.testing.assert_allclose(session.run(None, inputs)[0], ours, atol=1e-4)


@pytest.mark.parametrize("format", ["onnx", "stablehlo"])
def test_absent_packages_are_named(
    tmp_path: Path, save_bundle: Any, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepecg_jax.interop import onnx_export, stablehlo_export

    save_bundle(tmp_path / "b")
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    export = {"onnx": onnx_export.export_onnx, "stablehlo": stablehlo_export.export_stablehlo}
    with pytest.raises(UserError, match="pip install"):
        export[format](tmp_path / "b", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _run(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(cli.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _run(exported / "linear", "--format", "torch", "--out", out)
    said = " ".join(result.output.split())  # the console breaks lines where a path is long
    assert result.exit_code == 0 and "largest difference" in said, result.output
    result = _run(exported / "linear", "--format", "torch", "--out", out, "--no-verify")
    assert result.exit_code == 0 and "not compared" in result.output
    result = _run(tmp_path / "nowhere", "--format", "torch", "--out", out)
    assert isinstance(result.exception, UserError)
    assert _run(exported / "linear", "--format", "tflite", "--out", out).exit_code == 2


def test_a_family_without_a_form_in_torch_is_refused_by_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs only JAX works for it."""
    pytest.importorskip("flatbuffers")
    from deepecg_jax.interop.stablehlo_export import export_stablehlo

    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)
    architecture = Architecture(ToyConfig())
    bundle.save(
        tmp_path / "b",
        model=ToyConfig(),
        head=None,
        params=architecture.nested(random_weights(architecture)),
        labels=None,
        signal=SignalContract(),
    )
    words = "encoders of kind toy have no form in PyTorch, only wcr, efficientnet, s4 have"
    with pytest.raises(UserError, match=words):
        torch_export.export_torch(tmp_path / "b", tmp_path / "torch", verify=False)
    with pytest.raises(UserError, match=words):
        torch_names.links_of(architecture)
    assert export_stablehlo(tmp_path / "b", tmp_path / "hlo")["verified"]
    assert not (tmp_path / "torch").exists()
    # read where that family is not known
    monkeypatch.delitem(FAMILIES, "toy")
    with pytest.raises(UserError, match="model: kind=toy is no family of encoders; there are wcr"):
        bundle.load(tmp_path / "b")
