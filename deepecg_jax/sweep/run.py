"""Running a sweep: what is not finished, then the tables."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.evaluation.table.predictions import write_predictions
from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.progress import Progress
from deepecg_jax.sweep.results.gather import Gatherer
from deepecg_jax.sweep.results.outcomes import SweepResult
from deepecg_jax.sweep.results.write import write_sweep
from deepecg_jax.sweep.work.age_sex import age_sex_predictions
from deepecg_jax.sweep.work.attempts import attempt
from deepecg_jax.sweep.work.estimate import time_left
from deepecg_jax.sweep.work.guess import guess_here
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.sweep.work.launchers import Launcher
from deepecg_jax.sweep.work.lock import alone
from deepecg_jax.sweep.work.schedule import Schedule


def run_sweep(plan: Plan, launcher: Launcher, console: Console, at_once: int = 1) -> SweepResult:
    """Do the jobs that are not finished, ``at_once`` at a time, and write the tables.

    The tables are written at the start, after every job and at the end, so that they always say
    how far the sweep is. A job that fails stops no other; it is tried again by the next call.

    Raises:
        UserError: another sweep works in the folder, or a job's folder holds another run.
        StoppedBySignal: after the jobs here have saved; the same call goes on.
    """
    with alone(plan.folder, "a sweep"):
        left = [folder.job.name for folder in unfinished(plan, check=True)]
        gatherer = Gatherer(plan)
        progress = Progress(gatherer, console, at_once, left)
        said = counted(plan)
        done = len(plan.jobs) - len(left)
        console.print(f"{said}, {done} of them finished" if done else said, highlight=False)
        write_sweep(plan, gatherer.gather())
        try:
            Schedule(plan, launcher, _inline, progress, at_once).run()
        except StoppedBySignal:
            write_sweep(plan, gatherer.gather())
            raise
        result = gatherer.gather()
        write_sweep(plan, result)
        return result


def counted(plan: Plan) -> str:
    """Such as ``12 runs from 14 jobs``."""
    rows, jobs = len(plan.rows), len(plan.jobs)
    return f"{rows} run{'s' * (rows > 1)} from {jobs} job{'s' * (jobs > 1)}"


def unfinished(plan: Plan, check: bool = False) -> list[JobFolder]:
    """The folders of the jobs that are not finished, in their order.

    check: UserError if the folder of any job holds a run of another config.
    """
    folders = [JobFolder.of(plan, name) for name in plan.jobs]
    if check:
        for folder in folders:
            folder.check()
    return [folder for folder in folders if not folder.finished()]


def write_commands(plan: Plan) -> list[str]:
    """The commands of the jobs that are not finished, in an order in which they can be run.

    Their configs are written, age and sex are done, and the tables say how far it is.

    Raises:
        UserError: another sweep works in the folder.
    """
    with alone(plan.folder, "a sweep"):
        lines: list[str] = []
        for folder in unfinished(plan, check=True):
            folder.prepare()
            lines += folder.lines()
            if not folder.commands():
                try:
                    _inline(folder)
                except UserError as error:
                    folder.fail(str(error))
        write_sweep(plan, Gatherer(plan).gather())
    return lines


def described(plan: Plan, at_once: int) -> Iterator[tuple[str, str, str]]:
    """(job, stage, state) of every job, and how long the rest takes in a last (``"", "", words``).

    Nothing is written. Where nothing has finished yet, a matrix product is timed for a guess.
    """
    left: Sequence[JobFolder] = unfinished(plan, check=True)
    names = {folder.job.name for folder in left}
    for name, job in plan.jobs.items():
        folder = JobFolder.of(plan, name)
        failed = folder.failed()
        begun = folder.path.is_dir()
        state = "goes on" if begun else "new"
        state = f"tried again; it failed: {failed}" if failed else state
        yield name, job.kind, state if name in names else "finished"
    yield "", "", time_left(plan, left, at_once, guess_here) or "nothing to do"


def _inline(folder: JobFolder) -> None:
    """Age and sex alone take no device and no time."""
    config = folder.job.config
    assert folder.job.kind == "age_sex" and isinstance(config, FinetuneConfig)
    with attempt(folder.path):
        table = age_sex_predictions(config, folder.evaluate.split)
        write_predictions(folder.predictions, table)
