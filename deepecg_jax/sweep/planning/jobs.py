"""Jobs, which are done once each, and the rows of the table that they are for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.sweep.planning.config import EvaluateConfig, SweepConfig
from deepecg_jax.sweep.planning.names import folder_name, identity, readable

Point = Mapping[str, JsonValue]
"""Key of the grid -> its value."""
Kind = Literal["pretrain", "finetune", "age_sex"]


@dataclass(frozen=True)
class Job:
    """What is done once, in a folder of its own.

    Attributes:
        name: of the folder; the same whenever the sweep is read.
        kind: a pretraining; a fine-tuning with its predictions; or age and sex alone, which learn
            from the records that ``config`` names.
        config: resolved, with its ``workdir``.
        digest: the same for two jobs whose numbers are the same (see `names.identity`).
        needs: name of the pretraining that it starts from, or None.
    """

    name: str
    kind: Kind
    config: PretrainConfig | FinetuneConfig
    digest: str
    needs: str | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table: a run at a point of the grid with a seed.

    Attributes:
        job: name of the job that its numbers come from.
        baseline: whether the sweep added it.
    """

    run: str
    point: Point
    seed: int
    job: str
    baseline: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep does.

    Attributes:
        folder: of the sweep.
        jobs: by name; a pretraining stands before what needs it.
        rows: of the table, in its order.
    """

    folder: Path
    sweep: SweepConfig
    jobs: dict[str, Job]
    rows: list[Row]

    @property
    def evaluate(self) -> EvaluateConfig:
        """What is predicted."""
        return self.sweep.evaluate

    def path(self, name: str) -> Path:
        """The folder of a job."""
        return self.folder / "runs" / name


@dataclass
class Planner:
    """Collects jobs and rows; a run that is asked for twice with the same config is one job."""

    folder: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def pretraining(self, config: PretrainConfig) -> Job:
        """The job of a pretraining; its name does not depend on the runs that share it."""
        digest = identity(config)
        words = readable(f"{config.objective.kind}-{config.model.title.lower()}")
        return self._add("pretrain", f"pretrain-{words}-{digest}", digest, config)

    def finetuning(
        self, run: str, point: Point, seed: int, config: FinetuneConfig, start: Job | None
    ) -> Job:
        """The job of a fine-tuning that starts from the pretraining ``start``.

        ``point``: the part of it that the config depends on.
        """
        digest = identity(config, start and start.name)
        name = folder_name(run, point, seed, digest)
        if start is not None:
            workdir = self.folder / "runs" / start.name / "pretrain"
            config = config.model_copy(update={"init_from": str(workdir)})
        return self._add("finetune", name, digest, config, start)

    def age_sex(self, run: str, point: Point, seed: int, config: FinetuneConfig) -> Job:
        """The job that learns from age and sex what ``config`` learns from ECGs."""
        config = config.model_copy(update={"model": None})
        digest = identity(config)
        return self._add("age_sex", folder_name(run, point, seed, digest), digest, config)

    def _add(
        self,
        kind: Kind,
        name: str,
        digest: str,
        config: PretrainConfig | FinetuneConfig,
        start: Job | None = None,
    ) -> Job:
        if name in self.jobs:
            return self.jobs[name]
        workdir = str(self.folder / "runs" / name / kind)
        config = config.model_copy(update={"workdir": workdir})
        self.jobs[name] = Job(name, kind, config, digest, start and start.name)
        return self.jobs[name]
