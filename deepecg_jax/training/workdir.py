"""The run folder: the resolved config is written once and must not change under a resumed run."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from deepecg_jax.config import AnyConfig
from deepecg_jax.config_files import save_config
from deepecg_jax.errors import UserError

# a resumed run may be moved, spread over other devices, made longer, or logged otherwise
_FREE = ("workdir", "mesh", "train.steps", "train.log_every", "train.checkpoint_every",
         "train.keep_checkpoints", "data.dir", "data.cache_gb", "data.read_threads",
         "init_from", "model.scan_unroll", "model.remat")  # fmt: skip


def check_workdir(config: AnyConfig) -> Path:
    """The run folder, untouched; UserError if it holds a run of another config."""
    workdir = Path(config.workdir)
    file = workdir / "config.yaml"
    if file.is_file():
        stored = _flat(_complete(yaml.safe_load(file.read_text(encoding="utf-8")), type(config)))
        given = _flat(config.model_dump(mode="json"))
        different = [
            f"{key} is {stored.get(key)!r} there and {given.get(key)!r} here"
            for key in sorted({*stored, *given})
            if stored.get(key) != given.get(key) and not key.startswith(_FREE)
        ]
        if different:
            raise UserError(
                f"{workdir} holds a run of another config ({'; '.join(different[:3])}); use "
                "another workdir, or delete this one."
            )
    return workdir


def _complete(stored: Any, kind: type[BaseModel]) -> Any:
    """The stored config with defaults for keys that came after the version that wrote it."""
    try:
        return kind.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored  # of another kind or version: its differences are named


def start_workdir(config: AnyConfig) -> None:
    """Write ``config.yaml``; called when the inputs are checked, so a mistake leaves no run."""
    workdir = Path(config.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    save_config(config, workdir / "config.yaml")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix[:-1]: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.")
    return flat
