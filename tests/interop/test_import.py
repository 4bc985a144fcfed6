"""Checkpoints of fairseq-signals to bundles and back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from interop_models import SMALL, SMALL_HEADS, random_weights
from safetensors.numpy import load_file, save_file

from deepecg_jax.bundle import bundle, weights
from deepecg_jax.bundle.architecture import Architecture, HeadConfig, pretraining_shapes
from deepecg_jax.errors import UserError
from deepecg_jax.interop.fairseq_checkpoint import model_config, state_dict
from deepecg_jax.interop.import_checkpoint import import_wcr
from deepecg_jax.interop.wcr_import import parse_layers
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.objectives.wcr.heads import WCRHeads
from deepecg_jax.signals.contract import SignalContract

LABELS = ["AF", "LBBB", "superclass:MI"]
# name -> (head, what differs from SMALL, and for an encoder from SMALL_HEADS)
CASES: dict[str, tuple[str | None, dict[str, Any], dict[str, Any]]] = {
    "encoder": (None, {}, {}),
    "pre_ln": (None, {"layer_norm_first": True}, {"codebook_groups": 1, "codewords": 5}),
    "no_projection": (
        "linear",
        {"conv_layers": [(8, 2, 2), (16, 2, 2)], "positional_kernel": 7},
        {},
    ),
    "stem": ("attention", {"conv_layers": [(8, 5, 3), (6, 3, 2)], "conv_bias": True}, {}),
    "latent": (
        None,
        {"positional_groups": 8, "leads": 12},
        {"latent_dim": 12, "codebook_groups": 3, "dropout_features": 0.2},
    ),
}


def make_bundle(folder: Path, name: str) -> bundle.Bundle:
    kind, fields, sizes = CASES[name]
    model = WCRConfig(**{**SMALL, **fields})
    head = None if kind is None else HeadConfig.model_validate({"kind": kind})
    architecture = Architecture(model, head, len(LABELS) if head else 0)
    pretraining, objective = None, None
    if head is None:
        objective = WCRObjectiveConfig(**SMALL_HEADS | sizes)
        shapes = pretraining_shapes(objective, model)
        like = nnx.eval_shape(lambda: WCRHeads(objective, model, jax.random.key(0)))
        like = nnx.to_pure_dict(nnx.state(like))
        rng = np.random.default_rng(3)
        flat = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        pretraining = weights.nest(flat, like)
    bundle.save(
        folder,
        model=model,
        head=head,
        params=architecture.nested(random_weights(architecture)),
        labels=LABELS if head else None,
        signal=SignalContract(),
        objective=objective,
        pretraining=pretraining,
    )
    return bundle.load(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Every case as a safetensors file with its config beside it."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name in CASES:
        made = make_bundle(root / f"{name}_bundle", name)
        (root / name).mkdir()
        save_file(state_dict(made), root / name / "model.safetensors")
        assert isinstance(made.architecture.model, WCRConfig)
        config = model_config(made.architecture.model, made.objective)
        (root / name / "config.json").write_text(json.dumps({"model": config}))
    (root / "labels.json").write_text(json.dumps(LABELS))
    return root


def labels_of(files: Path, name: str) -> Path | None:
    return files / "labels.json" if CASES[name][0] else None


@pytest.mark.parametrize("name", CASES)
def test_architecture_and_weights_come_back(files, tmp_path, name) -> None:
    before = bundle.load(files / f"{name}_bundle")
    after = import_wcr(
        files / name / "model.safetensors", tmp_path / "b", labels=labels_of(files, name)
    )
    found, expected = after.architecture.model, before.architecture.model
    assert found.model_dump(exclude={"size"}) == expected.model_dump(exclude={"size"})
    assert after.objective == before.objective
    assert after.architecture.task == before.architecture.task
    for mine, theirs in ((after.weights, before.weights), (after.pretraining, before.pretraining)):
        for tensor in (theirs or {}).keys() - {"encoder.mask_embedding"}:
            assert mine is not None and mine[tensor].tobytes() == (theirs or {})[tensor].tobytes()
    assert after.labels == before.labels and after.signal == SignalContract()
    assert after.config["provenance"]["tensors"] == len(
        load_file(files / name / "model.safetensors")
    )
    signals = np.random.default_rng(0).normal(size=(3, 320, 12)).astype(np.float32)
    output = "encode" if CASES[name][0] is None else "logits"
    np.testing.assert_array_equal(getattr(after, output)(signals), getattr(before, output)(signals))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["latent", "stem"])
def test_fairseq_file_and_back_is_bit_exact(files, tmp_path, name) -> None:
    pytest.importorskip("torch")
    from deepecg_jax.interop.torch_export import export_torch

    parity = export_torch(files / f"{name}_bundle", tmp_path / "out", layout="fairseq")
    assert parity["verified"] and parity["max_abs_difference"] <= 1e-4
    for half in ("float16", "bfloat16"):
        stated = parity["reduced_precision"][half]
        assert 1e-4 < stated["max_abs_difference"] <= stated["bound"]
    before = bundle.load(files / f"{name}_bundle")
    after = import_wcr(
        tmp_path / "out" / "checkpoint.pt", tmp_path / "b", labels=labels_of(files, name)
    )
    assert state_dict(before).keys() == state_dict(after).keys()
    for tensor, value in state_dict(before).items():
        assert value.tobytes() == state_dict(after)[tensor].tobytes(), tensor


def test_attentive_head_under_another_name(files, tmp_path) -> None:
    state = load_file(files / "stem" / "model.safetensors")
    renamed = {
        name.replace("proj.pooler.", "attentive.pooler.").replace("proj.linear.", "attentive.fc.")
        if name.startswith("proj.")
        else name: value
        for name, value in state.items()
    }
    save_file(renamed, tmp_path / "model.safetensors")
    made = import_wcr(
        tmp_path / "model.safetensors",
        tmp_path / "b",
        labels=files / "labels.json",
        config=files / "stem" / "config.json",
    )
    expected = bundle.load(files / "stem_bundle").weights
    assert all(
        (made.weights[name] == value).all()
        for name, value in expected.items()
        if name != "encoder.mask_embedding"
    )


def edited(files: Path, name: str, change: Any) -> dict[str, np.ndarray]:
    state = load_file(files / name / "model.safetensors")
    change(state)
    return {key: np.ascontiguousarray(value) for key, value in state.items()}


def rename(state: dict[str, np.ndarray]) -> None:
    state["encoder.layers.0.fc2.kernel"] = state.pop("encoder.layers.0.fc2.weight")


def transpose(state: dict[str, np.ndarray]) -> None:
    state["encoder.layers.1.fc1.weight"] = state["encoder.layers.1.fc1.weight"].T


def half(state: dict[str, np.ndarray]) -> None:
    for name in list(state):
        state[name] = state[name].astype(np.float16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename, r"missing encoder.layers.0.fc2.weight \(16, 24\); extra encoder.layers.0.fc2.ker"),
        (transpose, r"encoder.layers.1.fc1.weight is \(16, 24\), expected \(24, 16\)"),
        (half, r"\d+ of \d+ tensors are float16"),
        (lambda s: s.pop("quantizer.weight_proj.bias"), "missing quantizer.weight_proj.bias"),
        (lambda s: s.pop("conv_pos.pos_conv.0.weight_v"), "weight_v is missing"),
        (lambda s: s.update({"target_glu.0.weight": s["mask_emb"]}), "extra target_glu.0.weight"),
        (lambda s: s.update({"mask_emb": s["mask_emb"] * np.nan}), "NaN or infinity"),
        (lambda s: s.clear() or s.update(a=np.zeros(1, np.float32)), "no WCR checkpoint"),
    ],
)
def test_misfits_are_named_and_nothing_is_written(files, tmp_path, change, words) -> None:
    file = tmp_path / "model.safetensors"
    save_file(edited(files, "encoder", change), file)
    with pytest.raises(UserError, match=words):
        import_wcr(file, tmp_path / "b", config=files / "encoder" / "config.json")
    assert not (tmp_path / "b").exists() and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder_embed_dim": 32}, "encoder_embed_dim is 32 in the config, 16 in the tensors"),
        ({"encoder_attention_heads": 3}, "heads=3 must divide width=16"),
        ({"conv_feature_layers": "[(8, 2, 2)] * 3"}, "conv_feature_layers"),
        ({"conv_feature_layers": "__import__('os').system('true')"}, "is not a list of"),
        ({"latent_vars": 7}, "latent_vars is 7 in the config"),
        ({"extractor_mode": "layer_norm"}, "extractor_mode"),
    ],
)
def test_contradicting_configs(files, tmp_path, changes, words) -> None:
    stored = json.loads((files / "encoder" / "config.json").read_text())["model"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(stored | changes))
    with pytest.raises(UserError, match=words):
        import_wcr(files / "encoder" / "model.safetensors", tmp_path / "b", config=path)


def test_what_tensors_do_not_show_must_be_said(files, tmp_path) -> None:
    lonely = tmp_path / "alone.safetensors"
    lonely.write_bytes((files / "encoder" / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="encoder_attention_heads and layer_norm_first"):
        import_wcr(lonely, tmp_path / "b")
    with pytest.raises(UserError, match="3 outputs and no names"):
        import_wcr(files / "stem" / "model.safetensors", tmp_path / "b")
    with pytest.raises(UserError, match="deepecg77 names 77 labels"):
        import_wcr(files / "stem" / "model.safetensors", tmp_path / "b", labels="deepecg77")
    with pytest.raises(UserError, match="takes no labels"):
        import_wcr(files / "encoder" / "model.safetensors", tmp_path / "b", labels="deepecg77")


def test_label_files(files, tmp_path) -> None:
    (tmp_path / "names.csv").write_text("index,finding\n0,AF\n1,LBBB\n2,MI\n")
    (tmp_path / "names.txt").write_text("AF\nLBBB\nMI\n")
    for file in ("names.csv", "names.txt"):
        made = import_wcr(
            files / "stem" / "model.safetensors", tmp_path / "b", labels=tmp_path / file
        )
        assert made.labels == ("AF", "LBBB", "MI")
    assert len(FINDINGS) == 77


def test_signal_contracts(files, tmp_path) -> None:
    file = files / "encoder" / "model.safetensors"
    made = import_wcr(file, tmp_path / "b", signal="ecg-fm")
    assert (made.signal.sampling_rate, made.signal.seconds) == (500.0, 5.0)
    assert made.signal.scaling == "fairseq"
    with pytest.raises(UserError, match="neither one of deepecg, ecg-fm"):
        import_wcr(file, tmp_path / "b", signal="mimic")
    eight = SignalContract(leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    with pytest.raises(UserError, match="takes 12 leads"):
        import_wcr(file, tmp_path / "b", signal=eight)


def test_stem_expressions() -> None:
    assert parse_layers("[(256, 2, 2)] * 4", "x") == [(256, 2, 2)] * 4
    assert parse_layers("[(8, 5, 3)] + [(6, 3, 2)] * 2", "x") == [(8, 5, 3)] + [(6, 3, 2)] * 2
    for text in ("", "[]", "[(1, 2)]", "[(0, 2, 2)]", "[(2, 2, 2)] * 10 ** 9", "f()", "(" * 500):
        with pytest.raises(UserError, match="is not a list of"):
            parse_layers(text, "x")


@pytest.mark.real
def test_the_published_layout(shared, tmp_path) -> None:
    """The reference's own file, both forms, against its stored activations."""
    folder = shared / "golden" / "wcr" / "small_a"
    made = import_wcr(folder / "params.safetensors", tmp_path / "a")
    stored = np.load(folder / "pretrain.npz")
    ecg = np.load(folder.parent / "inputs.npz")["ecg"]
    parts = [
        ecg[i, :, part * 1250 : (part + 1) * 1250] * survivors[:, None]
        for i, part, survivors in zip(
            stored["id"], stored["segment"], stored["lead_survivors"], strict=True
        )
    ]
    tokens = made.encode(np.stack(parts).transpose(0, 2, 1))
    expected = stored["encoder_out_nomask"]
    assert np.abs(tokens - expected).max() <= 2e-5 * np.abs(expected).max()
    pytest.importorskip("torch")
    again = import_wcr(folder / "checkpoint.pt", tmp_path / "b")
    assert again.fingerprint == made.fingerprint
    assert again.config["pretraining_fingerprint"] == made.config["pretraining_fingerprint"]


@pytest.mark.slow
def test_the_command(files, tmp_path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deepecg_jax.cli.main", "import", *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
            check=False,
        )

    done = run(files / "encoder" / "model.safetensors", "--kind", "wcr", "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert bundle.load(tmp_path / "b").fingerprint in done.stdout
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((files / "encoder" / "model.safetensors").read_bytes()[:-10])
    done = run(broken, "--kind", "wcr", "--out", tmp_path / "c")
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "c").exists()


@pytest.mark.slow
def test_training_goes_on_in_pytorch_and_comes_back(files, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    from deepecg_jax.interop.exported_folder import import_exported
    from deepecg_jax.interop.torch_export import export_torch, load_folder

    folder = tmp_path / "torch"
    export_torch(files / "stem_bundle", folder)
    untouched = import_exported(folder, tmp_path / "same")
    before = bundle.load(files / "stem_bundle")
    assert untouched.fingerprint == before.fingerprint and untouched.labels == before.labels
    assert untouched.config["provenance"]["trained_on"] is False

    model = load_folder(folder).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    signals = torch.randn(4, 12, 320, generator=torch.manual_seed(0))
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(
            model(signals), torch.ones(4, 3)
        ).backward()
        optimizer.step()
    source = {}
    exec(compile((folder / "torch_model.py").read_text(), "torch_model.py", "exec"), source)
    source["save"](model, folder)
    after = import_exported(folder, tmp_path / "trained")
    assert after.fingerprint != before.fingerprint
    assert after.config["provenance"]["trained_on"] is True
    with torch.no_grad():
        expected = model.eval()(signals).numpy()
    np.testing.assert_allclose(
        after.logits(signals.numpy().transpose(0, 2, 1)), expected, atol=1e-4
    )
    with pytest.raises(UserError, match="is the exported folder itself"):
        import_exported(folder, folder)
