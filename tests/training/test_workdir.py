"""A run folder belongs to one config, also when a later version has more keys."""

import pytest
import yaml

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.errors import UserError
from deepecg_jax.resources import configs_dir
from deepecg_jax.training.workdir import check_workdir, start_workdir


@pytest.fixture
def config(tmp_path):
    file = configs_dir() / "pretrain" / "wcr_tiny.yaml"
    return load_config(
        PretrainConfig, file, [f"workdir={tmp_path / 'run'}", "data.dir=d", "data.dataset=x"]
    )


def without(config, section: str, key: str) -> None:
    file = check_workdir(config) / "config.yaml"
    stored = yaml.safe_load(file.read_text(encoding="utf-8"))
    del stored[section][key]
    file.write_text(yaml.safe_dump(stored), encoding="utf-8")


def test_a_key_that_came_later_has_its_default(config) -> None:
    start_workdir(config)
    without(config, "data", "where")
    check_workdir(config)
    other = config.model_copy(update={"data": config.data.model_copy(update={"where": ("n > 1",)})})
    with pytest.raises(UserError, match="another config .*data.where"):
        check_workdir(other)


def test_another_config_is_refused(config) -> None:
    start_workdir(config)
    with pytest.raises(UserError, match="seed is 0 there and 1 here"):
        check_workdir(config.model_copy(update={"seed": 1}))


def test_a_stored_config_of_another_kind_is_compared_as_it_is(config) -> None:
    start_workdir(config)
    file = check_workdir(config) / "config.yaml"
    file.write_text("task: something\n", encoding="utf-8")
    with pytest.raises(UserError, match="another config"):
        check_workdir(config)


@pytest.mark.parametrize("key", ["workers", "read_threads", "cache_gb"])
def test_how_the_data_are_read_may_change_in_a_resumed_run(config, key) -> None:
    start_workdir(config)
    check_workdir(config.model_copy(update={"data": config.data.model_copy(update={key: 7})}))


def test_a_run_of_the_time_before_workers_goes_on(config) -> None:
    start_workdir(config)
    without(config, "data", "workers")
    check_workdir(config)
