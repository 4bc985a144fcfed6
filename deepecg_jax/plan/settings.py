"""Which configs can be planned."""

from collections.abc import Sequence

import yaml

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import find_config, load_config
from deepecg_jax.errors import UserError


def pretraining_config(path: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """`load_config` of a pretraining; UserError for any other task, whose step depends on data."""
    file = find_config(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        values = None  # `load_config` says what is wrong
    task = values.get("task", "pretrain") if isinstance(values, dict) else "pretrain"
    if task != "pretrain":
        raise UserError(
            f"{file} is a {task} config, and `deepecg plan` compiles the step of a pretraining; "
            "name one, such as configs/pretrain/wcr_base.yaml."
        )
    return load_config(PretrainConfig, path, overrides)
