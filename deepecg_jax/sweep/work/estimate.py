"""How long jobs will take, from those of the same sweep that are finished."""

from collections.abc import Sequence
from statistics import mean

from deepecg_jax.config import PretrainConfig
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.speed import duration
from deepecg_jax.sweep.planning.jobs import Job, Plan
from deepecg_jax.sweep.work.attempts import seconds_of
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.training.metrics_log import read_metrics

Likeness = tuple[str, ...]
"""What jobs that take equally long an ECG have in common."""


def time_left(plan: Plan, unfinished: Sequence[JobFolder], at_once: int) -> str:
    """Such as ``about 12 min left``, or that it is not known yet.

    A job takes as long an ECG as the finished jobs of the same kind and encoder did (start and
    compilation included). Where there are none like it, nothing is said about it.
    """
    speeds = _speeds(plan)
    known, unknown = [], 0
    for folder in unfinished:
        if folder.job.kind == "age_sex":
            continue
        an_ecg = speeds.get(_likeness(plan, folder.job))
        if an_ecg is None:
            unknown += 1
        else:
            known.append(an_ecg * (_ecgs(folder.job) - _ecgs_done(folder)))
    if not known:
        return "" if not unknown else f"time left unknown until one of {unknown} jobs has finished"
    text = f"about {duration(sum(known) / at_once)} left"
    return text if not unknown else f"{text}, without {unknown} jobs of kinds that none finished of"


def _speeds(plan: Plan) -> dict[Likeness, float]:
    """Seconds an ECG of the finished jobs that are alike."""
    found: dict[Likeness, list[float]] = {}
    for folder in (JobFolder.of(plan, name) for name in plan.jobs):
        seconds = seconds_of(folder.path)
        if seconds is not None and folder.job.kind != "age_sex" and folder.finished():
            found.setdefault(_likeness(plan, folder.job), []).append(seconds / _ecgs(folder.job))
    return {likeness: mean(values) for likeness, values in found.items()}


def _likeness(plan: Plan, job: Job) -> Likeness:
    config = job.config
    if isinstance(config, PretrainConfig):
        return job.kind, config.objective.kind, _shape(config.model)
    encoder = config.model if job.needs is None else plan.jobs[job.needs].config.model
    return job.kind, config.mode, str(config.init_from) if encoder is None else _shape(encoder)


def _shape(encoder: EncoderConfig) -> str:
    return encoder.model_dump_json(exclude=set(encoder.TRAINING_FIELDS))


def _ecgs(job: Job) -> int:
    """ECGs that a training of the job goes through, if it is not stopped early."""
    return job.config.train.steps * job.config.train.global_batch


def _ecgs_done(folder: JobFolder) -> int:
    """Those of a job that was interrupted."""
    file = folder.workdir / "metrics.jsonl"
    rows = read_metrics(file) if file.is_file() else []
    return int(rows[-1]["step"]) * folder.job.config.train.global_batch if rows else 0
