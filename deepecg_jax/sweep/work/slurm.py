"""Jobs through Slurm: submitted by submitit, and found again by a sweep that starts later."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json, write_json
from deepecg_jax.sweep.work.job_folder import JobFolder

_SUBMITTED = "slurm.json"


class Slurm:
    """Submits jobs; they do not end with the sweep, because they may have waited for long."""

    ends_with_sweep = False

    def __init__(
        self,
        program: Sequence[str],
        logs: Path,
        parameters: Mapping[str, JsonValue],
        cluster: str = "slurm",
    ):
        """Prepare to submit.

        Args:
            program: what a node runs, followed by the job's folder and its commands as JSON.
            logs: folder for what submitit keeps.
            parameters: of submitit's executor, such as ``slurm_partition`` and ``timeout_min``.
            cluster: submitit's name for it; ``local`` for tests.

        Raises:
            UserError: submitit is not installed, there is no Slurm here, or it does not know a
                parameter.
        """
        if find_spec("submitit") is None:
            raise UserError(
                "--launch slurm needs submitit, which is not installed; "
                "pip install 'deepecg_jax[slurm]'."
            )
        import submitit

        self._program, self._logs, self._cluster = tuple(program), logs.resolve(), cluster
        try:
            self._executor = submitit.AutoExecutor(self._logs, cluster=cluster)
            self._executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, TypeError, AssertionError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"jobs cannot be submitted to Slurm from here ({first}).") from error

    def start(self, folder: JobFolder, place: int) -> "SlurmJob":
        """Submit a job, unless an earlier sweep did and it is still in the queue or at work."""
        del place
        earlier = self._earlier(folder.path)
        if earlier is not None:
            return SlurmJob(earlier, folder.log)
        arguments = [str(folder.path), json.dumps(folder.commands())]
        command = SlurmCommand((*self._program, *arguments), str(folder.log))
        self._executor.update_parameters(name=folder.job.name)
        job = self._executor.submit(command)
        write_json(folder.path / _SUBMITTED, {"job_id": job.job_id})
        return SlurmJob(job, folder.log)

    def _earlier(self, path: Path) -> Any:
        import submitit

        if self._cluster != "slurm" or not (path / _SUBMITTED).is_file():
            return None
        number = str(read_json(path / _SUBMITTED).get("job_id"))
        job = submitit.SlurmJob(folder=self._logs, job_id=number)
        return None if job.done(force_check=True) else job


@dataclass(frozen=True)
class SlurmCommand:
    """What a node runs; preempted or out of time it is queued again, and resumes."""

    arguments: tuple[str, ...]
    log: str

    def __call__(self) -> int:
        """Run it; what it prints goes to the log. Returns its exit code."""
        with open(self.log, "ab") as log:
            return subprocess.call(self.arguments, stdout=log, stderr=subprocess.STDOUT)

    def checkpoint(self) -> Any:
        """Submitit calls this before Slurm ends the job."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmJob:
    """A submitted job."""

    def __init__(self, job: Any, log: Path):
        """``job``: submitit's."""
        self._job, self._log = job, log

    def poll(self) -> int | None:
        """See `launchers.Handle`."""
        if not self._job.done():
            return None
        if self._job.exception() is None:
            return self._job.result()
        with self._log.open("a", encoding="utf-8") as log:
            print(f"error: Slurm ended job {self._job.job_id} ({self._job.state}).", file=log)
        return 1

    def stop(self) -> None:
        """See `launchers.Handle`."""
        self._job.cancel()

    def kill(self) -> None:
        """See `launchers.Handle`."""
        self._job.cancel()
