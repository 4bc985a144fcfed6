"""From the keys of a sweep to the config of a stage: whose key is it, and which one wins."""

import copy
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import JsonValue

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.config_files import find_config, keys_of, make_config
from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.families import DEFAULT
from deepecg_jax.sweep.planning.config import STAGES, Stage

Staged = dict[Stage, dict[str, JsonValue]]
"""Stage -> key of its config -> value."""
PRETRAINING = "(its pretraining)"
"""Stands for ``init_from`` until the folder of a run's pretraining is known."""
_OWN = {
    "workdir": "the sweep gives every run a folder of its own",
    "task": "a stage is what its config says",
}


@dataclass(frozen=True)
class Layer:
    """Some keys of a sweep, and where they stand, for sentences."""

    where: str
    values: Mapping[str, JsonValue]


def staged(layer: Layer, stages: Sequence[Stage]) -> Staged:
    """The keys of a layer, sorted to the stages that they belong to.

    One without a stage goes to all stages that have it, unless the layer gives it to one of them.

    Raises:
        UserError: no stage has such a key (the nearest is named), or it is the sweep's own.
    """
    found: Staged = {stage: {} for stage in stages}
    with_stage = [key for key in layer.values if key.partition(".")[0] in STAGES]
    for key in (*(k for k in layer.values if k not in with_stage), *with_stage):
        for stage, own in _places(key, layer.where, stages):
            if own in _OWN:
                raise UserError(f"{layer.where}: {key} cannot be set, because {_OWN[own]}.")
            found[stage][own] = layer.values[key]
    return found


def _places(key: str, where: str, stages: Sequence[Stage]) -> list[tuple[Stage, str]]:
    first, _, rest = key.partition(".")
    for stage in STAGES:
        if first == stage and rest:
            if stage not in stages:
                raise UserError(f"{where}: {key} has no use, because there is no {stage} here.")
            return [(stage, rest)]
    known: dict[Stage, list[str]] = {stage: keys_of(STAGES[stage]) for stage in stages}
    places: list[tuple[Stage, str]] = [
        (stage, key) for stage, keys in known.items() if _has(keys, key)
    ]
    if places:
        return places
    names = {name for keys in known.values() for name in keys}
    names |= {f"{stage}.{name}" for stage, keys in known.items() for name in keys}
    near = difflib.get_close_matches(key, sorted(names), n=1, cutoff=0.4)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UserError(f"{where}: no stage has the key {key!r}{hint}.")


def _has(keys: Sequence[str], key: str) -> bool:
    """Whether it is a key, or lies in one that holds any keys, such as ``data.mix``."""
    known = key
    while known and known not in keys:
        known = known.rpartition(".")[0]
    return known == key or (known != "" and not any(k.startswith(f"{known}.") for k in keys))


def merged(layers: Sequence[Staged]) -> Staged:
    """All keys; of the same key that of the last layer."""
    result: Staged = {}
    for layer in layers:
        for stage, values in layer.items():
            result.setdefault(stage, {}).update(values)
    return result


class Base:
    """The configs of the stages, read once, to which keys are applied."""

    def __init__(self, files: Mapping[Stage, str]):
        """UserError for a file that is not there or holds no config."""
        self.files = dict(files)
        self._values: dict[Stage, dict[str, Any]] = {
            stage: _read(stage, file) for stage, file in files.items()
        }

    def pretraining(self, keys: Mapping[str, JsonValue], who: str) -> PretrainConfig:
        """The config of a pretraining, its ``workdir`` still empty.

        Raises:
            UserError: naming ``who`` it is of, and what does not fit.
        """
        values = copy.deepcopy(self._values["pretrain"]) | {"workdir": ""}
        return make_config(PretrainConfig, values, _texts(keys), self._where("pretrain", who))

    def finetuning(
        self,
        keys: Mapping[str, JsonValue],
        who: str,
        pretrained: EncoderConfig | None = None,
        encoder: EncoderConfig | None = None,
    ) -> FinetuneConfig:
        """The config of a fine-tuning, its ``workdir`` still empty.

        Args:
            keys: applied to the file's values.
            who: whose config it is, for sentences.
            pretrained: the encoder of the run's pretraining; ``init_from`` then stands for that,
                and a section ``model`` of another kind gives way to it.
            encoder: the whole section ``model`` instead of the file's, which keys do not change.

        Raises:
            UserError: what does not fit.
        """
        values = copy.deepcopy(self._values["finetune"]) | {"workdir": ""}
        if pretrained is not None:
            values["init_from"] = PRETRAINING
            section = values.get("model")
            kind = section.get("kind", DEFAULT) if isinstance(section, dict) else pretrained.kind
            if "model.kind" not in keys and kind != pretrained.kind:
                values["model"] = pretrained.model_dump(mode="json")
        if encoder is not None:
            values["model"] = encoder.model_dump(mode="json")
            keys = {key: v for key, v in keys.items() if key.partition(".")[0] != "model"}
        return make_config(FinetuneConfig, values, _texts(keys), self._where("finetune", who))

    def _where(self, stage: Stage, who: str) -> str:
        return f"{who}, stage {stage} ({self.files[stage]})"


def _read(stage: Stage, path: str) -> dict[str, Any]:
    file = find_config(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} must hold keys and values, but holds {type(values).__name__}.")
    if values.get("task", stage) != stage:
        raise UserError(f"{file} is a {values['task']} config, but stands at stages.{stage}.")
    return values


def _texts(keys: Mapping[str, JsonValue]) -> list[str]:
    """As they would be typed."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
