"""The run folder: the resolved config is written once and must not change under a resumed run."""

import time
from pathlib import Path

import jax
import yaml
from pydantic import BaseModel, ValidationError

from deepecg_jax import __version__
from deepecg_jax.config import RunConfig
from deepecg_jax.config_files import save_config
from deepecg_jax.errors import UserError
from deepecg_jax.training.processes.agreement import require_agreement, wait_for_all
from deepecg_jax.training.processes.hosts import is_first

# a resumed run may be moved, spread over other devices, made longer, or logged otherwise
_FREE = (
    "workdir",
    "mesh",
    "train.steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "data.dir",
    "data.cache_gb",
    "data.read_threads",
    "data.workers",
    "init_from",
)
# each host may have its own copy of the data
_OWN = ("data.dir", "data.cache_gb", "data.read_threads", "data.workers")
_SHARED_SECONDS = 60  # network file systems may show a new file late


def check_workdir(config: RunConfig) -> Path:
    """The run folder, untouched; UserError if it holds a run of another config."""
    workdir = Path(config.workdir)
    file = workdir / "config.yaml"
    if file.is_file():
        stored = _flat(_complete(yaml.safe_load(file.read_text(encoding="utf-8")), type(config)))
        given = _flat(config.model_dump(mode="json"))
        model = getattr(config, "model", None)
        speed = () if model is None else tuple(f"model.{name}" for name in model.SPEED_FIELDS)
        different = [
            f"{key} is {stored.get(key)!r} there and {given.get(key)!r} here"
            for key in sorted({*stored, *given})
            if stored.get(key) != given.get(key) and not key.startswith(_FREE + speed)
        ]
        if different:
            raise UserError(
                f"{workdir} holds a run of another config ({'; '.join(different[:3])}); use "
                "another workdir, or delete this one."
            )
    return workdir


def _complete(stored: object, kind: type[BaseModel]) -> object:
    """The stored config with defaults for keys that came after the version that wrote it."""
    try:
        return kind.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored  # of another kind or version: its differences are named


def start_workdir(config: RunConfig) -> Path:
    """The run folder, with ``config.yaml`` written; called when the inputs are checked.

    Called earlier, a mistake would leave a run. Of several processes the first writes it; UserError
    in another that does not see it, because checkpoints need a folder that all of them share.
    """
    file = Path(config.workdir) / "config.yaml"
    wait_for_all("inputs checked")
    if is_first():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_config(config, file)
    wait_for_all("run folder")
    end = time.monotonic() + _SHARED_SECONDS
    while not file.is_file():
        if time.monotonic() > end:
            raise UserError(
                f"{config.workdir} is not there for process {jax.process_index()}; workdir must be "
                "on storage that all processes share."
            )
        time.sleep(0.5)
    return file.parent


def require_same_config(config: RunConfig) -> None:
    """UserError if this process was started with another config or version than process 0."""
    values = _flat(config.model_dump(mode="json"))
    own = {key: value for key, value in values.items() if key not in _OWN}
    versions = {"deepecg_jax": __version__, "jax": jax.__version__}
    hint = "start all processes with the same command and software"
    require_agreement("the config", own | versions, hint)


def _flat(values: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(values, dict) or not values:
        return {prefix[:-1]: values}
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.")
    return flat
