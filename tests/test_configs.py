"""Shipped configs resolve to what is stored in tests/golden/configs; run this file to renew it."""

from pathlib import Path

import pytest
import yaml

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.config_files import find_config, load_config, make_config, save_config, to_yaml
from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.resources import configs_dir

GOLDEN = Path(__file__).parent / "golden" / "configs"
FILES = sorted(configs_dir().rglob("*.yaml"))


def schema_of(file: Path):
    task = yaml.safe_load(file.read_text())["task"]
    return {"pretrain": PretrainConfig, "finetune": FinetuneConfig}[task]


def golden_of(file: Path) -> Path:
    return GOLDEN / "__".join(file.relative_to(configs_dir()).parts)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_resolved_config_is_the_golden_one(file):
    assert to_yaml(load_config(schema_of(file), file)) == golden_of(file).read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_run_book(file):
    head = file.read_text().split("task:")[0]
    assert head.startswith("#") and "deepecg " in head and "hardware" in head


def test_a_resolved_config_is_a_config(tmp_path):
    config = load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", ["seed=7"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(PretrainConfig, tmp_path / "config.yaml") == config


def test_shipped_configs_are_found_without_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("configs/pretrain/wcr_tiny.yaml").is_file()
    with pytest.raises(UserError, match="pretrain/wcr_base.yaml"):
        find_config("configs/pretrain/wcr_huge.yaml")


@pytest.mark.parametrize(
    "override, message",
    [
        ("train.stepz=3", "unknown key 'train.stepz' .did you mean 'train.steps'"),
        ("modle.size=tiny", "unknown key 'modle' .did you mean 'model'"),
        ("train.steps=0", "train.steps: .* greater than or equal to 1"),
        ("train.steps=many", "train.steps: .* integer"),
        ("model.heads=5", "heads=5 must divide width"),
        ("model.size=huge", "model.size"),
        ("train.steps", "is not an override"),
        ("seed.x=1", "'seed' is a value, not a section"),
        ("task=finetune", "use `deepecg finetune`"),
        ("data.mix={synthetic: 1.5}", "shares of mix"),
        ("objective.lead_decoder=false", "needs objective.lead_decoder=true"),
        ("model.lead_decoder=false", "needs objective.lead_decoder=true"),  # its older name
        ("compat.loss_normalization=positives", "is fine-tuning's"),
        (
            "model.kind=efficientnet",
            "objective.kind=wcr hides tokens .* model.kind=wcr or s4,",
        ),
        ("model.kind=s5", "model: kind=s5 is no family of encoders; there are wcr, efficientnet"),
        ("objective.kind=x", "objective: kind=x is no objective; there are wcr"),
        (
            "objective.mask_shar=0.1",
            "unknown key 'objective.mask_shar' .did you mean 'objective.mask_share'",
        ),
    ],
)
def test_bad_overrides_are_one_sentence(override, message):
    with pytest.raises(UserError, match=message):
        load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", [override])


def test_overrides_take_yaml_values():
    config = load_config(
        FinetuneConfig,
        "configs/finetune/ptb_xl_superclass.yaml",
        ["labels=[a, 'b: c']", "optimizer.learning_rate=1e-3", "init_from=null", "mode=linear"],
    )
    assert config.labels == ("a", "b: c") and config.optimizer.learning_rate == 1e-3
    assert config.init_from is None


def test_a_size_fills_only_what_is_not_given():
    values = yaml.safe_load(find_config("pretrain/wcr_tiny.yaml").read_text())
    values["model"] = {"size": "small", "layers": 2}
    config = make_config(PretrainConfig, values)
    model, objective = config.model, config.objective
    assert isinstance(model, WCRConfig) and isinstance(objective, WCRObjectiveConfig)
    assert (model.layers, model.width, model.ffn_width) == (2, 128, 512)
    assert (objective.codewords, objective.final_dim) == (160, 64)
    values["objective"]["codewords"] = 32
    assert make_config(PretrainConfig, values).objective.model_dump()["codewords"] == 32


@pytest.mark.parametrize("file", sorted((GOLDEN / "version_0_1").iterdir()), ids=lambda f: f.stem)
def test_a_config_of_version_0_1_means_what_it_meant(file):
    """Stored runs and people's files: WCR's sizes stood in the section model there."""
    older = yaml.safe_load(file.read_text())
    schema = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}[older["task"]]
    meant = yaml.safe_load((GOLDEN / file.name).read_text())
    # what suits the platform was not a value then; no number depends on it
    meant["model"] |= {name: older["model"][name] for name in ("remat", "scan_unroll")}
    assert load_config(schema, file) == make_config(schema, meant)
    if schema is PretrainConfig:
        assert older["model"]["codewords"] == 64 and older["model"]["final_dim"] == 48


def test_keys_of_version_0_1_may_still_be_typed():
    file = "configs/pretrain/wcr_base.yaml"
    typed = ["model.codewords=32", "compat.hide_all_leads=true", "model.dropout_features=0.0"]
    objective = load_config(PretrainConfig, file, typed).objective.model_dump()
    assert objective["codewords"] == 32 and objective["hide_all_leads"] is True
    assert objective["dropout_features"] == 0.0 and objective["final_dim"] == 256
    with pytest.raises(UserError, match="is pretraining's .objective.codewords.; leave it out"):
        load_config(FinetuneConfig, "configs/finetune/ptb_xl_superclass.yaml", typed[:1])
    values = yaml.safe_load(find_config(file).read_text())
    values["model"]["codewords"], values["objective"]["codewords"] = 32, 64
    with pytest.raises(UserError, match="model.codewords=32 and objective.codewords=64 contradict"):
        make_config(PretrainConfig, values)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["mode=linear", "head.kind=attention"], "mode=linear is a linear probe, but head.kind"),
        (["mode=linear", "feature_gradient=0.1"], "mode=linear freezes the encoder, so feature_gr"),
        (["mode=attention", "feature_gradient=0"], "mode=attention freezes the encoder"),
        (["model.kind=s5"], "model: kind=s5 is no family of encoders; there are wcr, efficientnet"),
        (["compat.cmsc_detach_norm=false"], "is pretraining's .objective.cmsc_detach_norm."),
        (["model={kind: efficientnet, norm_groups: 5}"], "norm_groups=5 must divide"),
    ],
)
def test_what_fine_tuning_cannot_use_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        load_config(FinetuneConfig, "configs/finetune/ptb_xl_superclass.yaml", overrides)


def test_what_a_linear_probe_leaves_out_is_said():
    file = "configs/finetune/ptb_xl_superclass.yaml"
    assert load_config(FinetuneConfig, file).ignored() == []
    assert load_config(FinetuneConfig, file, ["mode=attention"]).ignored() == []
    ignored = load_config(FinetuneConfig, file, ["mode=linear", "augment.mixup=0.0"]).ignored()
    assert ignored == [
        "augment.crop_seconds",
        "augment.lead_masking",
        "augment.gain_deviation",
        "head.dropout",
    ]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for file in FILES:
        golden_of(file).write_text(to_yaml(load_config(schema_of(file), file)))
        print(golden_of(file).name)
