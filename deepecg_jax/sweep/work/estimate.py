"""How long jobs will take, from those of the same sweep that are finished."""

from collections.abc import Sequence
from statistics import mean

from deepecg_jax.config import PretrainConfig
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.speed import duration
from deepecg_jax.sweep.planning.jobs import Job, Plan
from deepecg_jax.sweep.work.attempts import seconds_of
from deepecg_jax.sweep.work.guess import SOURCE, Guess
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.training.metrics_log import read_metrics

Likeness = tuple[str, ...]
"""What jobs that take equally long an ECG have in common."""


def time_left(
    plan: Plan, unfinished: Sequence[JobFolder], at_once: int, guess: Guess | None = None
) -> str:
    """Such as ``about 12 min left``, and for how many jobs that is not known; empty without jobs.

    A job takes as long an ECG as the finished jobs of the same kind and encoder did (start and
    compilation included).

    Args:
        plan: of the sweep.
        unfinished: its jobs that are left.
        at_once: how many of them run at a time.
        guess: for a job that none like it has finished.
    """
    speeds = _speeds(plan)
    measured, guessed, unknown = 0.0, 0.0, 0
    for folder in unfinished:
        if folder.job.kind == "age_sex":
            continue
        left = 1.0 - _share_done(folder)
        an_ecg = speeds.get(_likeness(plan, folder.job))
        seconds = None if guess is None or an_ecg is not None else guess(folder.job)
        if an_ecg is not None:
            measured += left * an_ecg * _ecgs(folder.job)
        elif seconds is not None:
            guessed += left * seconds
        else:
            unknown += 1
    words = []
    if measured or guessed:
        words.append(f"about {duration((measured + guessed) / at_once)} left")
    if guessed:
        part = f"{duration(guessed / at_once)} of it " if measured else ""
        words.append(f"{part}{SOURCE}")
    if unknown:
        jobs = "one job" if unknown == 1 else f"{unknown} jobs"
        words.append(f"how long {jobs} will take is known when one like it has finished")
    return "; ".join(words)


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


def _share_done(folder: JobFolder) -> float:
    """Of a job that was interrupted."""
    file = folder.workdir / "metrics.jsonl"
    rows = read_metrics(file) if file.is_file() else []
    return min(1.0, rows[-1]["step"] / folder.job.config.train.steps) if rows else 0.0
