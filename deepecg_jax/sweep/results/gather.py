"""From the folders of a sweep to its tables: a row a run, and over seeds."""

from collections.abc import Collection
from dataclasses import dataclass, field
from math import prod

import pyarrow.parquet as pq
from safetensors import safe_open

from deepecg_jax.bundle.bundle import WEIGHTS
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.table.columns import SCORE
from deepecg_jax.sweep.planning.jobs import Plan, Row
from deepecg_jax.sweep.planning.names import point_text
from deepecg_jax.sweep.results.outcomes import UNKNOWN, Outcome, Status, SweepResult
from deepecg_jax.sweep.results.scores import Scores, scores_of
from deepecg_jax.sweep.results.summarise import effects_of, summaries_of
from deepecg_jax.sweep.work.age_sex import N_FEATURES
from deepecg_jax.sweep.work.attempts import device_of, seconds_of
from deepecg_jax.sweep.work.job_folder import JobFolder


@dataclass
class Gatherer:
    """Reads what is there; asked again, it reads what is new.

    Attributes:
        plan: of the sweep.
        scores: of the jobs that were read, by name.
        unreadable: why the predictions of a finished job have no score.
    """

    plan: Plan
    scores: dict[str, Scores] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> Scores | None:
        """The scores of a finished job, None where it has none."""
        if name in self.scores or name in self.unreadable:
            return self.scores.get(name)
        folder = JobFolder.of(self.plan, name)
        if folder.job.kind == "pretrain":
            return None
        try:
            found = scores_of(folder.predictions, self.plan.evaluate.resampling())
        except UserError as error:
            self.unreadable[name] = str(error)
            return None
        self.scores[name] = found
        return found

    def gather(self, running: Collection[str] = ()) -> SweepResult:
        """Both tables as they are now. ``running``: names of the jobs that are at work."""
        outcomes = tuple(self._outcome(row, running) for row in self.plan.rows)
        scores = [self.scores.get(row.job) for row in self.plan.rows]
        summaries, notes = summaries_of(outcomes, scores, self.plan.sweep.reference)
        first = next((found for found in scores if found is not None), None)
        return SweepResult(
            keys=tuple(self.plan.sweep.grid),
            reference=self._reference(),
            outcomes=outcomes,
            summaries=tuple(summaries),
            effects=effects_of(self.plan.sweep.grid, outcomes, scores),
            notes=tuple(notes),
            n_records=first and first.n_records,
            n_patients=first and first.n_patients,
        )

    def _reference(self) -> str | None:
        reference = self.plan.sweep.reference
        if reference is None:
            return None
        at = f" ({point_text(reference.at)})" if reference.at else ""
        return f"{reference.run}{at}"

    def _outcome(self, row: Row, running: Collection[str]) -> Outcome:
        job = self.plan.jobs[row.job]
        folder = JobFolder.of(self.plan, row.job)
        status, reason = self._status(folder, running)
        found = self.read(row.job) if status == "done" else None
        if row.job in self.unreadable:
            status, reason = "failed", self.unreadable[row.job]
        before = None if job.needs is None else seconds_of(self.plan.path(job.needs))
        own = seconds_of(folder.path)
        is_whole = own is not None and (job.needs is None or before is not None)
        return Outcome(
            run=row.run,
            point=row.point,
            seed=row.seed,
            baseline=row.baseline,
            status=status,
            reason=reason,
            macro_auroc=UNKNOWN if found is None else interval(found.macro),
            parameters=parameters_of(folder) if status == "done" else None,
            seconds=(own or 0.0) + (before or 0.0) if is_whole and status == "done" else None,
            pretraining_seconds=own if job.kind == "pretrain" else before,
            device=device_of(folder.path),
            folder=f"runs/{row.job}",
        )

    def _status(self, folder: JobFolder, running: Collection[str]) -> tuple[Status, str]:
        if folder.finished():
            return "done", ""
        needs = folder.job.needs
        first = None if needs is None else JobFolder.of(self.plan, needs)
        if first is not None and not first.finished():
            failed = first.failed()
            if failed is not None:
                return "failed", f"its pretraining failed: {failed}"
            return "running", "" if needs in running else f"waits for {needs}"
        failed = folder.failed()
        if failed is not None:
            return "failed", failed
        return "running", "" if folder.job.name in running else "not finished yet"


def parameters_of(folder: JobFolder) -> int:
    """How many numbers a finished job has learned, running statistics included."""
    if folder.job.kind == "age_sex":
        names = pq.read_schema(folder.predictions).names
        return (1 + N_FEATURES) * sum(name.startswith(SCORE) for name in names)
    with safe_open(folder.workdir / "bundle" / WEIGHTS, "numpy") as weights:
        return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
