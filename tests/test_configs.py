"""Shipped configs resolve to what is stored in tests/golden/configs; run this file to renew it."""

from pathlib import Path

import pytest
import yaml

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.config_files import find_config, load_config, make_config, save_config, to_yaml
from deepecg_jax.errors import UserError
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
        ("model.lead_decoder=false", "needs model.lead_decoder=true"),
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
    values["model"] = {"size": "small", "lead_decoder": True, "layers": 2}
    model = make_config(PretrainConfig, values).model
    assert (model.layers, model.width, model.ffn_width) == (2, 128, 512)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for file in FILES:
        golden_of(file).write_text(to_yaml(load_config(schema_of(file), file)))
        print(golden_of(file).name)
