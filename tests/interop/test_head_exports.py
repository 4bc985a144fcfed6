"""Readouts and the attention pool in PyTorch, and what an exported folder says of crops."""

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interop_models import random_weights
from small_encoders import SMALL

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.errors import UserError
from deepecg_jax.interop import fairseq_checkpoint, torch_names
from deepecg_jax.interop.exported_folder import import_exported
from deepecg_jax.interop.torch_export import export_torch
from deepecg_jax.models.families import encoder_config
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.signals.contract import SignalContract

torch = pytest.importorskip("torch")
LEADS = SignalContract().leads[:3]


def architecture_of(family: str, **head: Any) -> Architecture:
    model = encoder_config({"kind": family, "leads": 3, **SMALL[family]})
    return Architecture(model, HeadConfig.model_validate(head), 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("wcr", {"readout": "mean_max_local"}),
        ("wcr", {"kind": "attention_pool"}),
        ("efficientnet", {"readout": "mean_max"}),
        ("efficientnet", {"kind": "attention_pool", "heads": 3}),
    ],
)
def test_logits_agree_and_weights_return(family: str, head: dict[str, Any]) -> None:
    architecture = architecture_of(family, **head)
    weights = random_weights(architecture)
    links = torch_names.links_of(architecture)
    template = types.ModuleType("torch_model")
    exec(torch_names.PORTS[family].template.read_text(), template.__dict__)
    module = template.build(architecture.to_dict(), ["a", "b"]).eval()
    state = torch_names.to_torch(weights, links)
    module.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, strict=True)
    signals = np.random.default_rng(1).standard_normal((3, 150, 3)).astype(np.float32)
    run = Runner(architecture.module(weights), architecture.model, SignalContract(leads=LEADS), "x")
    ours = run("logits", signals, None, None, None, 4)
    with torch.no_grad():
        theirs = module(torch.from_numpy(signals).transpose(1, 2)).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(ours).max())
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    back = torch_names.to_jax(held, links, architecture.shapes())
    assert all(back[name].tobytes() == value.tobytes() for name, value in weights.items())


def test_a_template_without_a_readout_is_refused_by_a_sentence(monkeypatch) -> None:
    port = torch_names.PORTS["wcr"]
    older = torch_names.Port(port.layout, port.template, port.links)  # as a new family begins
    monkeypatch.setitem(torch_names.PORTS, "wcr", older)
    for head, words in (
        ({"readout": "mean_max"}, "the readout mean_max on an encoder of kind wcr has no form"),
        ({"kind": "attention_pool"}, "the attention_pool head .* export to StableHLO instead"),
    ):
        with pytest.raises(UserError, match=words):
            torch_names.links_of(architecture_of("wcr", **head))
    assert torch_names.links_of(architecture_of("wcr"))


def save(folder: Path, architecture: Architecture, protocol: EvaluationProtocol) -> bundle.Bundle:
    bundle.save(
        folder,
        model=architecture.model,
        head=architecture.head,
        params=architecture.nested(random_weights(architecture)),
        labels=["a", "b"],
        signal=SignalContract(leads=LEADS),
        protocol=protocol,
    )
    return bundle.load(folder)


def test_crops_travel_with_an_export(tmp_path: Path) -> None:
    protocol = EvaluationProtocol(crop_seconds=2.5, aggregate="mean_logit")
    save(tmp_path / "b", architecture_of("wcr", readout="mean_max"), protocol)
    export_torch(tmp_path / "b", tmp_path / "t", verify=False)
    said = (tmp_path / "t" / "README.md").read_text()
    assert "crops of 2.5 s every 2.5 s, the mean of their logits: cut the ECGs before" in said
    back = import_exported(tmp_path / "t", tmp_path / "back")
    assert back.protocol == protocol and back.config["head"]["readout"] == "mean_max"


def test_fairseq_has_no_such_head(tmp_path: Path) -> None:
    made = save(tmp_path / "b", architecture_of("wcr", readout="mean_max"), EvaluationProtocol())
    with pytest.raises(UserError, match="has a head of readout mean_max; fairseq-signals has none"):
        fairseq_checkpoint.write_checkpoint(made, tmp_path / "c.pt")
