"""YAML configs: loading, ``key=value`` overrides, and the resolved config of a run."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models import families
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives import kinds, older
from deepecg_jax.objectives.kinds import OBJECTIVES
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.resources import configs_dir

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)
# sections whose ``kind`` decides what their other keys mean
_VARIANTS: dict[type[BaseModel], Mapping[str, type[BaseModel]]] = {
    EncoderConfig: FAMILIES,
    ObjectiveConfig: OBJECTIVES,
}
_KINDS = {"model.kind": families.DEFAULT, "objective.kind": kinds.DEFAULT}


def find_config(path: str | Path) -> Path:
    """``path`` itself, or the shipped config of that name (``configs/`` may be left out)."""
    given = Path(path)
    if given.is_file():
        return given
    parts = given.parts[1:] if given.parts[:1] == ("configs",) else given.parts
    shipped = configs_dir().joinpath(*parts)
    if shipped.is_file():
        return shipped
    known = sorted(str(p.relative_to(configs_dir())) for p in configs_dir().rglob("*.yaml"))
    raise UserError(
        f"there is no config file {given}; shipped with deepecg_jax are: {', '.join(known)}."
    )


def load_config(schema: type[Config], path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply ``a.b=value`` overrides, validate.

    UserError names an unknown key and the nearest valid one, or a value that does not fit.
    """
    file = find_config(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} must hold keys and values, but holds {type(values).__name__}.")
    return make_config(schema, values, overrides, where=str(file))


def make_config(
    schema: type[Config],
    values: dict[str, Any],
    overrides: Sequence[str] = (),
    where: str = "config",
) -> Config:
    """The same from a dictionary."""
    # kinds first, whatever the order typed: they decide what the other keys mean
    for override in sorted(overrides, key=lambda text: text.partition("=")[0] not in _KINDS):
        _apply(values, override, pretraining=schema is PretrainConfig)
    task = schema.model_fields["task"].default
    if values.get("task", task) != task:
        raise UserError(f"{where} is a {values['task']} config; use `deepecg {values['task']}`.")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {problems_of(schema, error)}.") from error


def save_config(config: BaseModel, path: Path) -> None:
    """Write the resolved config; it can be used as a config again."""
    path.write_text(to_yaml(config), encoding="utf-8")


def to_yaml(config: BaseModel) -> str:
    """The resolved config as YAML, keys in the order of the schema."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, default_flow_style=None)


def _apply(values: dict[str, Any], override: str, pretraining: bool) -> None:
    """``a.b=1`` sets values["a"]["b"]; the value is YAML, so lists and null work."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(
            f"{override!r} is not an override; write key=value, such as train.steps=100."
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"the value of {override!r} is not valid YAML.") from error
    key = older.typed_key(key, values, pretraining)
    if key in _KINDS:
        section = key.partition(".")[0]
        given = values.get(section)
        if not isinstance(given, dict) or given.get("kind", _KINDS[key]) != value:
            values[section] = {}  # the fields of one kind mean nothing in another
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise UserError(f"{key!r} cannot be set: {parent!r} is a value, not a section.")
        node = child
    if isinstance(value, str):
        value = _number(value)
    node[last] = value


def _number(text: str) -> float | str:
    """YAML 1.1 reads 1e-3 as text; people mean a number."""
    try:
        return float(text) if "e" in text.lower() else text
    except ValueError:
        return text


def problems_of(schema: type[BaseModel], error: ValidationError) -> str:
    """All problems of a config in one sentence."""
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, keys_of(schema, name), n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append(f"unknown key {name!r}{hint}")
        elif problem["type"] == "missing":
            problems.append(f"{name!r} is missing")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = problem.get("input")
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            problems.append(f"{name + ': ' if name else ''}{message}{shown}")
    return "; ".join(problems)


def keys_of(schema: type[BaseModel], wrong: str = "", prefix: str = "") -> list[str]:
    """Every dotted key of a schema; of sections by name (terms of a sum) those of the name in the
    key ``wrong``.
    """
    names: list[str] = []
    for name, field in schema.model_fields.items():
        names.append(prefix + name)
        inside = f"{prefix}{name}."
        origin = get_origin(field.annotation)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            if not wrong.startswith(inside):
                continue
            inside += wrong.removeprefix(inside).partition(".")[0] + "."
        for section in _sections(field.annotation):
            names += keys_of(section, wrong, inside)
    return names


def _sections(annotation: object) -> list[type[BaseModel]]:
    """The schemas that an annotation, such as a union, allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(_VARIANTS.get(annotation, {"": annotation}).values())
    return [section for part in get_args(annotation) for section in _sections(part)]
