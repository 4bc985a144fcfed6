"""A toy encoder and a toy objective, one line each in a table, live a whole life."""

import io
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P
from rich.console import Console
from toys import ToyConfig, ToyObjective

from deepecg_jax.bundle import bundle
from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.data.building.build import build
from deepecg_jax.errors import UserError
from deepecg_jax.interop.torch_export import export_torch
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.kinds import OBJECTIVES
from deepecg_jax.training import pretrain as pretraining
from deepecg_jax.training import program
from deepecg_jax.training.finetune import finetune
from deepecg_jax.training.mesh import run_mesh
from deepecg_jax.training.optimizer import make_update
from deepecg_jax.training.state import make_state

STEPS = 4


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)
    monkeypatch.setitem(OBJECTIVES, "mean", ToyObjective)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "160"})
    return folder


def pretraining_config(data: Path, workdir: Path) -> PretrainConfig:
    overrides = [
        "model.kind=toy",
        "model.width=16",
        "objective.kind=mean",
        f"data.dir={data}",
        f"workdir={workdir}",
        f"train.steps={STEPS}",
        "train.global_batch=16",
        "train.checkpoint_every=1",
        "train.log_every=1",
        "schedule.warmup_steps=1",
        "mesh.data=2",
        "mesh.fsdp=2",
        "mesh.tensor=2",
    ]
    return load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", overrides)


def finetuning_config(data: Path, workdir: Path, start: Path) -> FinetuneConfig:
    overrides = [
        "model.kind=toy",
        f"init_from={start}",
        f"data.dir={data}",
        "data.label_share=1.0",
        f"workdir={workdir}",
        "labels=[Afib, Left bundle branch block]",
        "train.steps=2",
        "train.global_batch=16",
        "schedule.warmup_steps=0",
        "stopping.evaluate_every=2",
    ]
    return load_config(FinetuneConfig, "configs/quickstart/finetune.yaml", overrides)


def weights(workdir: Path) -> bytes:
    return (workdir / "bundle" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_toy_lives_a_whole_life(
    plugged_in: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO())
    config = pretraining_config(data, tmp_path / "whole")

    # spread over eight devices as it declares
    mesh = run_mesh(config)
    with jax.set_mesh(mesh):
        update = make_update(config, config.compat)
        state, _ = make_state(
            lambda key: program.build(config, key), update, mesh, jax.random.key(0)
        )
    kernel = state["params"]["encoder"]["kernel"]
    assert mesh.size == 8 and kernel.sharding.spec == P("fsdp", "tensor")
    assert kernel.addressable_shards[0].data.shape == (kernel.shape[0] // 2, kernel.shape[1] // 2)

    # pretrained, and stopped and resumed to the same bits
    pretraining.pretrain(config, console)
    batches = pretraining.training_batches

    def killed(*arguments: object) -> Iterator[dict[str, np.ndarray]]:
        for number, batch in enumerate(batches(*arguments)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    again = pretraining_config(data, tmp_path / "again")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretraining, "training_batches", killed)
        pretraining.pretrain(again, console)
    assert not (tmp_path / "again" / "bundle").exists()
    pretraining.pretrain(again, console)
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")

    # fine-tuned from there, and applied
    finetune(finetuning_config(data, tmp_path / "ft", tmp_path / "whole"), console)
    assert "encoder from" in console.file.getvalue()  # type: ignore[attr-defined]
    classifier = bundle.load(tmp_path / "ft")
    assert classifier.config["model"]["kind"] == "toy"
    scores = classifier.probabilities(np.zeros((3, 2500, 12), np.float32))
    assert scores.shape == (3, 2) and np.isfinite(scores).all()

    # nobody has written its form in PyTorch
    with pytest.raises(UserError, match="toy") as refusal:
        export_torch(tmp_path / "ft", tmp_path / "torch")
    assert "\n" not in str(refusal.value) and not (tmp_path / "torch").exists()


@pytest.mark.slow
@pytest.mark.parametrize("objective", [*OBJECTIVES, "mean"])
@pytest.mark.parametrize("model", [*FAMILIES, "toy"])
def test_every_objective_with_every_encoder(
    plugged_in: None, data: Path, tmp_path: Path, objective: str, model: str
) -> None:
    """It trains, or is refused with a sentence before anything is written."""
    smallest = {
        "wcr": ["model.size=tiny", "model.layers=1", "model.width=32", "model.ffn_width=32"],
        "efficientnet": [
            "model.variant=custom",
            "model.stem_width=4",
            "model.width=8",
            "model.stages=[[mbconv, 4, 1, 3, 4, 2]]",
        ],
        "s4": ["model.size=tiny", "model.layers=1", "model.width=8"],
        "toy": ["model.width=16"],
    }
    overrides = [
        f"model.kind={model}",
        *smallest[model],
        f"objective.kind={objective}",
        f"data.dir={data}",
        f"workdir={tmp_path / 'run'}",
        "train.steps=2",
        "train.global_batch=8",
        "train.log_every=1",
        "schedule.warmup_steps=0",
    ]
    console = Console(file=io.StringIO())
    try:
        config = load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", overrides)
    except UserError as refusal:
        assert (objective, model) == ("wcr", "efficientnet")
        assert str(refusal).count("\n") == 0 and "choose model.kind=" in str(refusal)
        assert not (tmp_path / "run").exists()
        return
    written = bundle.load(pretraining.pretrain(config, console))
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.split(written.model)[1]))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
