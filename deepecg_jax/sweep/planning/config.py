"""The schema of a sweep, and how its file becomes one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import yaml
from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.config_files import find_config, problems_of
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.settings import Settings

Stage = Literal["pretrain", "finetune"]
STAGES: dict[Stage, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
}
Overrides = dict[str, JsonValue]
"""Dotted key, with or without its stage in front, -> value."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class StagesConfig(Settings):
    """The configs that every run starts from."""

    pretrain: str | None = Field(default=None, description="config of the pretraining, or null")
    finetune: str | None = Field(default=None, description="config of the fine-tuning, or null")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.pretrain is None and self.finetune is None:
            raise ValueError("name a config for pretrain, finetune or both")
        return self

    def files(self) -> dict[Stage, str]:
        """Stage -> config, of the stages that there are."""
        given: dict[Stage, str | None] = {"pretrain": self.pretrain, "finetune": self.finetune}
        return {stage: file for stage, file in given.items() if file is not None}


class EvaluateConfig(Settings):
    """What is predicted, and how sure the scores are."""

    split: str = Field(default="test", description="split of the run's data set")
    resamples: int = Field(default=1000, ge=1, description="bootstrap resamples of patients")
    seed: int = Field(default=0, ge=0, description="of the resampling")
    cluster: Literal["patient_id", "none"] = Field(
        default="patient_id", description="resample whole patients, or single records"
    )

    def resampling(self) -> Resampling:
        """The same for every run, so that differences are paired."""
        cluster = None if self.cluster == "none" else self.cluster
        return Resampling(self.resamples, self.seed, cluster)


class ReferenceConfig(Settings):
    """The run that others are compared with."""

    run: str = Field(description="its name")
    at: Overrides = Field(
        default_factory=dict,
        description="compare with it at these values of the grid, instead of at the same point",
    )


class SweepConfig(Settings):
    """``deepecg sweep``."""

    stages: StagesConfig
    set: Overrides = Field(
        default_factory=dict,
        description="keys of every run; one without a stage is for all stages that have it",
    )
    runs: dict[str, Overrides] = Field(
        default={"run": {}},
        min_length=1,
        description="name -> keys of that run; pretrain: null is a run without pretraining",
    )
    grid: dict[str, list[JsonValue]] = Field(
        default_factory=dict, description="key -> values; every combination, times every run"
    )
    exclude: list[Overrides] = Field(
        default_factory=list,
        description="points of the grid that are left out: all those that have these values",
    )
    seeds: tuple[int, ...] = Field(
        default=(0,),
        min_length=1,
        description="of the fine-tuning (of the pretraining where there is no fine-tuning); a "
        "pretraining is shared by them",
    )
    evaluate: EvaluateConfig = EvaluateConfig()
    reference: ReferenceConfig | None = Field(
        default=None,
        description="the run that the others are compared with, paired: a name, or {run: NAME, at: "
        "{KEY: VALUE}} to compare the values of a key of the grid with one of them",
    )
    baselines: bool = Field(
        default=True,
        description="beside the pretrained encoders: the same shapes from scratch, the same shapes "
        "random and frozen, and age and sex alone",
    )
    slurm: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="parameters of submitit's executor, such as {slurm_partition: gpu}",
    )

    @field_validator("runs", mode="before")
    @classmethod
    def _empty_runs(cls, runs: object) -> object:
        """``name:`` with nothing behind it is a run without keys of its own."""
        if not isinstance(runs, Mapping):
            return runs
        return {name: {} if own is None else own for name, own in runs.items()}

    @field_validator("reference", mode="before")
    @classmethod
    def _name_alone(cls, reference: object) -> object:
        return {"run": reference} if isinstance(reference, str) else reference

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in self.runs:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"runs: {name!r} is no name of a run; use letters, digits, dots, dashes and _"
                )
        for key, values in self.grid.items():
            texts = [repr(value) for value in values]
            if not values or len(set(texts)) < len(texts):
                raise ValueError(f"grid: {key} needs values that differ, got {values}")
        for point in self.exclude:
            strange = [key for key in point if key not in self.grid]
            if strange or not point:
                raise ValueError(f"exclude: {strange[0] if strange else '{}'} is no key of grid")
        for key, value in ({} if self.reference is None else self.reference.at).items():
            if value not in self.grid.get(key, []):
                raise ValueError(f"reference.at: the grid has no {key} of {value}")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be 0 or more and differ, got {list(self.seeds)}")
        return self


def read_sweep(path: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """Read a sweep file, or a shipped one.

    Args:
        path: YAML.
        overrides: ``key=value``. A key of the sweep itself (``seeds``, ``reference``,
            ``evaluate.split``) replaces its value; any other joins ``set``.

    Raises:
        UserError: no such file, not YAML, a key twice, or what the schema refuses.
    """
    file = find_config(path)
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _NoKeyTwice)
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} must hold keys and values, but holds {type(values).__name__}.")
    for override in overrides:
        _apply(values, override)
    try:
        return SweepConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{file}: {problems_of(SweepConfig, error)}.") from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override!r} is not an override; write key=value, such as seeds=[0,1,2].")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"the value of {override!r} is not valid YAML.") from error
    first, _, rest = key.partition(".")
    if first not in SweepConfig.model_fields:
        values["set"] = {**(values.get("set") or {}), key: value}
    elif not rest:
        values[first] = value
    else:  # the keys of set, runs and grid have dots themselves
        values[first] = {**(values.get(first) or {}), rest: value}


class _NoKeyTwice(yaml.SafeLoader):
    """A run that stands twice would silently be the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
