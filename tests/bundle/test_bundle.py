"""The bundle: what goes in comes out, and nothing doubtful is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from interop_models import SMALL, SMALL_HEADS, random_weights
from safetensors.numpy import load_file, save_file

from deepecg_jax import __version__
from deepecg_jax.bundle import bundle, weights
from deepecg_jax.bundle.architecture import Architecture, pretraining_shapes
from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.signals.contract import SignalContract


@pytest.fixture
def copy(tmp_path: Path, classifier: bundle.Bundle) -> Path:
    """A private copy of the classifier bundle, to be damaged."""
    return Path(shutil.copytree(classifier.folder, tmp_path / "copy"))


def test_round_trip(classifier: bundle.Bundle) -> None:
    assert classifier.labels == ("AF", "LBBB", "superclass:MI")
    assert classifier.signal == SignalContract()
    assert classifier.thresholds == {"AF": 0.25}
    assert classifier.metrics == {"validation": {"auroc": 0.9, "empty": None}}
    config = classifier.config
    assert (config["schema"], config["task"]) == (1, "classifier")
    assert config["head"] == {"kind": "linear", "heads": 2, "dropout": 0.0}
    assert config["deepecg_jax"] == __version__
    assert config["provenance"] == {"dataset": "synthetic", "steps": 7}
    assert config["fingerprint"] == weights.fingerprint(classifier.weights)
    names = {path.name for path in classifier.folder.iterdir()}
    assert names == {
        *("model.safetensors", "config.json", "signal.json", "labels.json", "thresholds.json"),
        *("metrics.json", "README.md"),
    }


def test_weights_are_kept_to_the_bit(classifier: bundle.Bundle) -> None:
    stored = load_file(classifier.folder / "model.safetensors")
    assert stored.keys() == classifier.architecture.shapes().keys()
    for name, value in stored.items():
        assert value.tobytes() == classifier.weights[name].tobytes()
    kernel = classifier.params["encoder"]["stem"]["kernels"][1]
    assert kernel is classifier.weights["encoder.stem.kernels.1"]
    assert classifier.encoder_params["stem"]["kernels"][1] is kernel


def test_model_card_says_what_a_user_needs(classifier: bundle.Bundle) -> None:
    card = (classifier.folder / "README.md").read_text()
    for text in (
        "250 Hz",
        "mV",
        "aVR",
        "| 1 | LBBB | none |",
        "0.25",
        "not a medical device",
        "validation.auroc",
        "synthetic",
        "licence",
        classifier.fingerprint,
    ):
        assert text in card, text


@pytest.mark.slow
def test_encode_and_logits_are_the_module(classifier: bundle.Bundle, signals: np.ndarray) -> None:
    with jax.default_matmul_precision("highest"):
        tokens = classifier.model.encoder(jnp.asarray(signals)).tokens
        logits = classifier.model(jnp.asarray(signals))
    found = classifier.encode(signals)
    assert found.shape == (5, 20, 16) and found.dtype == np.float32
    np.testing.assert_allclose(found, tokens, atol=1e-5)
    np.testing.assert_allclose(classifier.logits(signals), logits, atol=1e-5)
    expected = 1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))
    np.testing.assert_allclose(classifier.probabilities(signals), expected, atol=1e-5)


def test_batches_do_not_change_the_result(classifier: bundle.Bundle, signals: np.ndarray) -> None:
    whole = classifier.logits(signals)
    for size in (2, 3):
        np.testing.assert_allclose(classifier.logits(signals, batch_size=size), whole, atol=1e-6)


def test_one_compilation_for_any_number_of_records(
    classifier: bundle.Bundle, signals: np.ndarray
) -> None:
    many = np.concatenate([signals] * 3)[:, :160]
    classifier.encode(many[:4], batch_size=4)
    run = classifier._runner._run
    before = run._cache_size()
    for n in (1, 2, 3, 4, 7, 15):
        assert len(classifier.encode(many[:n], batch_size=4)) == n
    assert run._cache_size() == before


def test_lead_mask_zeroes_leads(classifier: bundle.Bundle, signals: np.ndarray) -> None:
    mask = np.ones((5, 12), bool)
    mask[:, 3] = False
    broken = signals.copy()
    broken[:, :, 3] = np.nan
    zeroed = np.where(mask[:, None], signals, 0.0)
    np.testing.assert_array_equal(
        classifier.logits(broken, lead_mask=mask), classifier.logits(zeroed)
    )
    assert np.abs(classifier.logits(zeroed) - classifier.logits(signals)).max() > 1e-3


@pytest.mark.slow
def test_padding_is_neither_attended_to_nor_averaged(
    classifier: bundle.Bundle, signals: np.ndarray
) -> None:
    padded = signals.copy()
    padded[1, 200:] = 0.0
    samples = np.array([320, 200, 320, 320, 320])
    with jax.default_matmul_precision("highest"):
        expected = classifier.model(jnp.asarray(padded), valid_samples=jnp.asarray(samples))
    found = classifier.logits(padded, valid_samples=samples, batch_size=4)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    ignored = classifier.logits(padded, batch_size=4)
    assert np.abs(found[1] - ignored[1]).max() > 1e-3
    np.testing.assert_allclose(np.delete(found, 1, 0), np.delete(ignored, 1, 0), atol=1e-6)
    # tokens after the end have no influence: those before it do not change with them
    tokens = classifier.encode(padded, valid_samples=samples)[1]
    assert not np.allclose(tokens[:12], classifier.encode(padded)[1, :12], atol=1e-4)
    np.testing.assert_array_equal(
        classifier.logits(signals, valid_samples=np.full(5, 320)), classifier.logits(signals)
    )
    for wrong in (samples[:4], samples * 2, samples * 1.0, samples * 0):
        with pytest.raises(UserError, match="valid_samples must be 5 whole numbers"):
            classifier.logits(padded, valid_samples=wrong)


def test_refused_signals(classifier: bundle.Bundle, signals: np.ndarray) -> None:
    broken = signals.copy()
    broken[2, 10, 7] = np.nan
    with pytest.raises(UserError, match="record 2 has NaN or infinity in lead V2"):
        classifier.logits(broken)
    with pytest.raises(UserError, match="12 leads I II III aVR"):
        classifier.encode(signals[..., :8])
    with pytest.raises(UserError, match="12 leads"):
        classifier.encode(signals.transpose(0, 2, 1))
    with pytest.raises(UserError, match="at least one record"):
        classifier.encode(signals[:0])
    with pytest.raises(UserError, match="divide microvolts by 1000"):
        classifier.encode((signals * 1000).astype(np.int16))
    with pytest.raises(UserError, match="shorter than one token"):
        classifier.encode(signals[:, :15])
    with pytest.raises(UserError, match="lead_mask has the shape"):
        classifier.encode(signals, lead_mask=np.ones(12, bool))
    with pytest.raises(UserError, match=r"sampling_rate is 500 in the signals but 250 in bundle"):
        classifier.encode(signals, contract=SignalContract(sampling_rate=500.0))
    assert len(classifier.encode(signals, contract=SignalContract())) == 5


def test_encoder_bundle(tmp_path: Path, save_bundle: Any, signals: np.ndarray) -> None:
    loaded = bundle.load(save_bundle(tmp_path / "run" / "bundle", None))
    assert loaded.config["task"] == "encoder" and loaded.config["head"] is None
    assert loaded.labels == () and loaded.encode(signals).shape == (5, 20, 16)
    assert loaded.encoder_params.keys() == loaded.params.keys()
    with pytest.raises(UserError, match="an encoder without a head"):
        loaded.logits(signals)
    assert bundle.load(tmp_path / "run").fingerprint == loaded.fingerprint  # a finished workdir


def test_every_misfit_tensor_is_listed(copy: Path) -> None:
    state = load_file(copy / "model.safetensors")
    del state["head.projection.bias"]
    state["encoder.extra"] = np.zeros(2, np.float32)
    state["encoder.stem.kernels.0"] = state["encoder.stem.kernels.0"].transpose(2, 1, 0).copy()
    state["encoder.positional.gain"] = state["encoder.positional.gain"].astype(np.float16)
    save_file(state, copy / "model.safetensors")
    with pytest.raises(UserError) as error:
        bundle.load(copy)
    for text in (
        "missing head.projection.bias (3,)",
        "extra encoder.extra (2,)",
        "encoder.stem.kernels.0 is (8, 12, 2), expected (2, 12, 8)",
        "encoder.positional.gain is float16, expected float32",
    ):
        assert text in str(error.value)


def test_changed_weights(copy: Path) -> None:
    state = load_file(copy / "model.safetensors")
    state["head.projection.bias"][1] += 1e-6
    save_file(state, copy / "model.safetensors")
    with pytest.raises(UserError, match="changed after it was saved"):
        bundle.load(copy)


@pytest.mark.parametrize("size", [0, 4, 200, -3])
def test_truncated_weights(copy: Path, size: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="not a complete safetensors file") as error:
        bundle.load(copy)
    assert "\n" not in str(error.value)


def _edit(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes))


def test_damaged_descriptions(copy: Path) -> None:
    config = (copy / "config.json").read_text()

    def refused(match: str) -> None:
        with pytest.raises(UserError, match=match):
            bundle.load(copy)
        (copy / "config.json").write_text(config)

    _edit(copy / "config.json", schema=2)
    refused("schema is 2")
    _edit(copy / "config.json", task="encoder")
    refused("task is 'encoder'")
    _edit(copy / "config.json", head={"kind": "linear", "depth": 3})
    refused("head.depth")
    _edit(copy / "config.json", model={**json.loads(config)["model"], "widht": 3})
    refused("model.widht")
    _edit(copy / "config.json", model={**json.loads(config)["model"], "layers": 3})
    refused(r"transformer.up_kernel is \(2, 16, 24\), expected \(3, 16, 24\)")
    (copy / "config.json").write_text("{")
    refused("is no JSON")
    _edit(copy / "thresholds.json", VT=0.5)
    refused("VT is not a label")
    _edit(copy / "signal.json", leads=["I", "II"])
    refused("2 leads, the model 12")
    (copy / "signal.json").unlink()
    refused("signal.json does not exist")


def test_classifier_without_label_names_is_refused(copy: Path) -> None:
    (copy / "labels.json").write_text("[]")
    with pytest.raises(UserError, match="a classifier needs label names"):
        bundle.load(copy)
    (copy / "labels.json").unlink()
    with pytest.raises(UserError, match="a classifier without label names"):
        bundle.load(copy)


def test_where_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        bundle.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not a bundle"):
        bundle.load(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(UserError, match="has not finished"):
        bundle.load(tmp_path)


def _arguments(classifier: bundle.Bundle, **changes: Any) -> dict[str, Any]:
    architecture = classifier.architecture
    values: dict[str, Any] = {
        "model": architecture.model,
        "head": architecture.head,
        "params": classifier.params,
        "labels": classifier.labels,
        "signal": classifier.signal,
    }
    return {**values, **changes}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": ["AF", "LBBB"]}, r"head.projection.bias is \(3,\), expected \(2,\)"),
        ({"labels": ["AF", "AF", "VT"]}, "occur twice: AF"),
        ({"labels": []}, "needs label names"),
        ({"head": None, "labels": []}, "missing features_norm.bias"),
        ({"head": {"kind": "attention"}}, "missing head.query"),
        ({"head": {"kind": "attention", "heads": 3}}, "3 attention heads must divide"),
        ({"head": {"kind": "conv"}}, "bundle head.kind"),
        ({"thresholds": {"VT": 0.5}}, "VT is not a label"),
        ({"thresholds": {"AF": 1.5}}, "must be a number from 0 to 1"),
        ({"signal": SignalContract(leads=("I", "II"))}, "2 leads, the model 12"),
        ({"signal": SignalContract(unit="uV")}, "unit of the signal contract is uV, not mV"),
    ],
)
def test_refused_to_save(
    tmp_path: Path, classifier: bundle.Bundle, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        bundle.save(tmp_path / "b", **_arguments(classifier, **changes))
    assert list(tmp_path.iterdir()) == []


def test_saving_is_all_or_nothing(
    tmp_path: Path, classifier: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    bundle.save(folder, **_arguments(classifier))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    nan = {**classifier.weights, "head.projection.bias": np.full(3, np.nan, np.float32)}
    params = classifier.architecture.nested(nan)
    with pytest.raises(UserError, match="NaN or infinity in: head.projection.bias"):
        bundle.save(folder, **_arguments(classifier, params=params))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(bundle.model_card, "render", _disk_full)
        bundle.save(folder, **_arguments(classifier))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    bundle.save(folder, **_arguments(classifier, metrics={"auroc": 1.0}))
    assert bundle.load(folder).metrics == {"auroc": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def _disk_full(*_: Any) -> str:
    raise OSError("disk full")


def test_other_peoples_folders_are_left_alone(tmp_path: Path, classifier: bundle.Bundle) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        bundle.save(tmp_path, **_arguments(classifier))
    with pytest.raises(UserError, match="is a file"):
        bundle.save(tmp_path / "thesis.tex", **_arguments(classifier))


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """An encoder with the heads of its objective."""
    model, objective = WCRConfig(**SMALL), WCRObjectiveConfig(**SMALL_HEADS, lead_decoder=True)
    architecture = Architecture(model)
    heads = nnx.eval_shape(lambda: objective.heads(model, jax.random.key(0)))
    shapes = pretraining_shapes(objective, model)
    values = {name: np.full(shape, 0.5) for name, shape in shapes.items()}
    return bundle.save(
        tmp_path / "pretrained",
        model=model,
        head=None,
        params=architecture.nested(random_weights(architecture)),
        labels=None,
        signal=SignalContract(),
        objective=objective,
        pretraining=weights.nest(values, nnx.to_pure_dict(nnx.state(heads))),
    )


def test_an_objective_and_its_heads_are_kept(pretrained: Path) -> None:
    loaded = bundle.load(pretrained)
    assert loaded.objective == WCRObjectiveConfig(**SMALL_HEADS, lead_decoder=True)
    assert loaded.config["objective"]["codewords"] == 6 and loaded.pretraining is not None
    names = load_file(pretrained / "pretraining.safetensors").keys()
    assert names == loaded.pretraining.keys() and "quantizer.codebook" in names
    _edit(pretrained / "config.json", objective={"kind": "simsiam"})
    with pytest.raises(UserError, match="objective: kind=simsiam is no objective; there are wcr"):
        bundle.load(pretrained)
    _edit(pretrained / "config.json", objective={"kind": "wcr", "codewords": 1})
    with pytest.raises(UserError, match="objective.codewords: "):
        bundle.load(pretrained)
    with pytest.raises(ValueError, match="useless without their objective"):
        bundle.save(
            pretrained,
            model=loaded.architecture.model,
            head=None,
            params=loaded.params,
            labels=None,
            signal=loaded.signal,
            pretraining=loaded.pretraining,
        )


def test_a_bundle_of_version_0_1_loads_as_before(pretrained: Path, classifier: Any) -> None:
    """It said the sizes of the heads in ``model``, also in a classifier."""
    config = json.loads((pretrained / "config.json").read_text())
    objective = config.pop("objective")
    sizes = {name: objective[name] for name in WCRConfig.OLDER_FIELDS}
    config["model"] |= sizes
    (pretrained / "config.json").write_text(json.dumps(config))
    loaded = bundle.load(pretrained)
    assert loaded.objective == WCRObjectiveConfig(**SMALL_HEADS, lead_decoder=True)
    assert loaded.architecture.model == WCRConfig(**SMALL)
    copy = pretrained.parent / "classifier"
    shutil.copytree(classifier.folder, copy)
    _edit(copy / "config.json", model={**classifier.config["model"], **sizes})
    again = bundle.load(copy)
    assert again.architecture == classifier.architecture and again.objective is None
    _edit(pretrained / "config.json", model={**config["model"], "codewords": 7})
    with pytest.raises(UserError, match=r"quantizer.codebook is \(2, 6, 4\), expected \(2, 7, 4\)"):
        bundle.load(pretrained)
