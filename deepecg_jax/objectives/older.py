"""What version 0.1 wrote, converted when it is read: its configs, bundles and checkpoints.

There WCR was the only objective: its sizes stood in the section ``model``, two of its peculiarities
in ``compat``, and the parameters of its heads beside ``encoder`` instead of under ``heads``.
"""

from collections.abc import Mapping
from typing import Any

import jax

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.families import DEFAULT as DEFAULT_FAMILY
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.kinds import DEFAULT, objective_config
from deepecg_jax.objectives.objective import ObjectiveConfig

_SIZES = FAMILIES["wcr"].OLDER_FIELDS
_WCR = ("cmsc_detach_norm", "hide_all_leads")
_FINETUNING = "loss_normalization"
RENAMED: dict[str, str] = {f"model.{name}": f"objective.{name}" for name in _SIZES}
RENAMED |= {f"compat.{name}": f"objective.{name}" for name in _WCR}
"""Dotted keys of a pretraining config then -> now."""


def typed_key(key: str, values: Mapping[str, Any], pretraining: bool) -> str:
    """The dotted key that an override means now; UserError for one of the other training.

    In a file such keys are left out, for version 0.1 wrote them into every resolved config.
    """
    if pretraining and key == f"compat.{_FINETUNING}":
        raise UserError(f"{key} is fine-tuning's; leave it out.")
    if not _has_moved(key, values):
        return key
    if not pretraining:
        raise UserError(f"{key} is pretraining's ({RENAMED[key]}); leave it out.")
    return RENAMED[key]


def _has_moved(key: str, values: Mapping[str, Any]) -> bool:
    """Whether a dotted key of a config has moved; a key of ``model`` only if that is a WCR one."""
    model = values.get("model")
    kind = model.get("kind", DEFAULT_FAMILY) if isinstance(model, Mapping) else DEFAULT_FAMILY
    return key in RENAMED and (kind == "wcr" or not key.startswith("model."))


def pretraining_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a pretraining config with every key where it belongs now.

    ValueError if a key stands in its old and in its new place, with two values.
    """
    objective = values.get("objective")
    kind = objective.get("kind", DEFAULT) if isinstance(objective, Mapping) else None
    new = {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}
    for old, now in RENAMED.items():
        (section, name), (_, target) = old.split("."), now.split(".")
        if not _has_moved(old, values) or not isinstance(new.get(section), dict):
            continue
        if name not in new[section]:
            continue
        value = new[section].pop(name)
        if kind != "wcr":
            continue  # then it had no meaning
        if new["objective"].setdefault(target, value) != value:
            raise ValueError(
                f"{old}={value} and {now}={new['objective'][target]} contradict each other; "
                f"{old} is the older name, so leave it out"
            )
    if isinstance(new.get("compat"), dict):
        new["compat"].pop(_FINETUNING, None)
    return new


def finetuning_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a fine-tuning config without the keys that only pretraining ever read."""
    compat = values.get("compat")
    if not isinstance(compat, Mapping):
        return values
    return values | {"compat": {k: v for k, v in compat.items() if k not in _WCR}}


def objective_of(model: Mapping[str, Any], encoder: EncoderConfig) -> ObjectiveConfig:
    """The objective of a bundle whose section ``model`` still says the sizes of its heads."""
    moved = {name: model[name] for name in _SIZES if name in model}
    return objective_config({"kind": "wcr", **moved}, encoder)


def older_layout(tree: Any) -> Any:
    """A state with the heads of a pretrainer beside its encoder, as version 0.1 stored it."""
    return jax.tree.map(
        lambda x: {"encoder": x["encoder"], **x["heads"]} if _is_pretrainer(x) else x,
        tree,
        is_leaf=_is_pretrainer,
    )


def newer_layout(tree: Any, like: Any) -> Any:
    """Inverse of `older_layout`; ``like`` has the structure of the result."""
    return jax.tree.map(
        lambda new, old: (
            {"encoder": old["encoder"], "heads": {name: old[name] for name in new["heads"]}}
            if _is_pretrainer(new)
            else old
        ),
        like,
        tree,
        is_leaf=_is_pretrainer,
    )


def _is_pretrainer(x: Any) -> bool:
    return isinstance(x, dict) and x.keys() == {"encoder", "heads"}
