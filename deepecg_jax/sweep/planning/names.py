"""Stable names: readable, and a hash of everything that a number can depend on."""

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from deepecg_jax.config import RunConfig
from deepecg_jax.models.encoder import EncoderConfig

# where a run is and how it is computed, logged and kept; no number depends on it
_FREE = (
    "workdir",
    "mesh",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "data.cache_gb",
    "data.read_threads",
    "data.workers",
)
_MOST_LETTERS = 80


def identity(config: RunConfig, starts_from: str | None = None) -> str:
    """Eight hexadecimal digits, the same for two configs that give the same numbers.

    Values that are the defaults do not count, so a key that a later version adds changes no name.

    Args:
        config: resolved.
        starts_from: name of the pretraining that it starts from, in place of ``init_from``.
    """
    flat = _given(config)
    kept = {key: value for key, value in flat.items() if not _is_free(key)}
    if starts_from is not None:
        kept["init_from"] = starts_from
    text = json.dumps(kept, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _given(values: BaseModel, prefix: str = "") -> dict[str, JsonValue]:
    """Dotted key -> value of what is not the default, and of every ``kind``."""
    flat: dict[str, JsonValue] = {}
    speed = values.SPEED_FIELDS if isinstance(values, EncoderConfig) else ()
    dumped = values.model_dump(mode="json")
    for name, field in type(values).model_fields.items():
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            flat |= _given(value, f"{prefix}{name}.")
        elif name == "kind" or (
            name not in speed and value != field.get_default(call_default_factory=True)
        ):
            flat[f"{prefix}{name}"] = dumped[name]
    return flat


def readable(text: str) -> str:
    """What may stand in a name of a folder."""
    return re.sub(r"[^\w.=-]+", "-", text).strip("-.") or "run"


def point_text(point: Mapping[str, JsonValue]) -> str:
    """``label_share=0.1, mode=linear``: the last part of each key, or all of it where two share it.

    >>> point_text({"finetune.data.label_share": 0.1})
    'label_share=0.1'
    """
    lasts = [key.rpartition(".")[2] for key in point]
    parts = []
    for key, value in point.items():
        last = key.rpartition(".")[2]
        name = last if lasts.count(last) == 1 else key
        parts.append(f"{name}={value_text(value)}")
    return ", ".join(parts)


def value_text(value: JsonValue) -> str:
    """A value of the grid as people write it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def folder_name(run: str, point: Mapping[str, JsonValue], seed: int, digest: str) -> str:
    """``wcr-label_share=0.1-seed0-1a2b3c4d``."""
    words = [readable(run), *(readable(part) for part in point_text(point).split(", ") if part)]
    return f"{'-'.join(words)[:_MOST_LETTERS]}-seed{seed}-{digest}"
