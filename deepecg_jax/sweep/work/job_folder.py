"""The folder of a job: what is in it, whether the job is finished, and why it failed."""

import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.config_files import save_config
from deepecg_jax.files import write_json
from deepecg_jax.sweep.planning.config import EvaluateConfig
from deepecg_jax.sweep.planning.jobs import Job, Plan
from deepecg_jax.training.workdir import check_workdir

PREDICTIONS, LOG, STATE = "predictions.parquet", "log.txt", "state.json"
_SAID = ("error: ", "unexpected failure: ")


@dataclass(frozen=True)
class JobFolder:
    """``DIR/runs/NAME``: the config of the job, its run folder, predictions, log and state.

    Attributes:
        path: the folder.
        job: whose it is.
        evaluate: what is predicted.
    """

    path: Path
    job: Job
    evaluate: EvaluateConfig

    @classmethod
    def of(cls, plan: Plan, name: str) -> "JobFolder":
        """The folder of one of the jobs of a plan."""
        return cls(plan.path(name), plan.jobs[name], plan.evaluate)

    @property
    def workdir(self) -> Path:
        """The run folder, as of ``deepecg pretrain`` and ``finetune``."""
        return Path(self.job.config.workdir)

    @property
    def predictions(self) -> Path:
        """Of a fine-tuning, or of age and sex."""
        return self.path / PREDICTIONS

    @property
    def log(self) -> Path:
        """What the commands printed."""
        return self.path / LOG

    def check(self) -> None:
        """UserError if the run folder holds a run of another config."""
        if self.job.kind != "age_sex":
            check_workdir(self.job.config)

    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        if self.job.kind != "age_sex":
            if not (self.workdir / "bundle" / "config.json").is_file():
                return False
            if self.job.kind == "pretrain":
                return True
        return self.predictions.is_file() and self._place() == self._wanted()

    def prepare(self) -> None:
        """Write the config; predictions of something else than is wanted now are removed."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.job.kind != "age_sex":
            save_config(self.job.config, self.config_file)
        if self.job.kind != "pretrain" and self._place() != self._wanted():
            self.predictions.unlink(missing_ok=True)
            self._note(predicts=self._wanted())
        self._note(failed=None)

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.path / f"{self.job.kind}.yaml"

    def commands(self) -> list[list[str]]:
        """The arguments of each ``deepecg`` that the job consists of; none for age and sex."""
        if self.job.kind == "age_sex":
            return []
        commands = [[self.job.kind, str(self.config_file)]]
        if isinstance(self.job.config, FinetuneConfig):
            data = self.job.config.data
            predict = ["predict", str(self.workdir), "--data-dir", data.dir]
            predict += ["--dataset", data.dataset, "--split", self.evaluate.split]
            predict += [part for where in data.where for part in ("--where", where)]
            commands.append([*predict, "--out", str(self.predictions)])
        return commands

    def lines(self) -> list[str]:
        """The commands as one types them."""
        return [shlex.join(["deepecg", *arguments]) for arguments in self.commands()]

    def failed(self) -> str | None:
        """Why the last attempt failed, or None."""
        return self._state().get("failed")

    def fail(self, reason: str) -> None:
        """Keep why an attempt failed."""
        self._note(failed=reason)

    def log_size(self) -> int:
        """Bytes of the log until now."""
        return self.log.stat().st_size if self.log.is_file() else 0

    def reason(self, code: int, log_from: int = 0) -> str:
        """Why an attempt ended with an exit code: the sentence that it printed, or its last line.

        Args:
            code: negative: the number of the signal that ended it.
            log_from: where its part of the log begins.
        """
        lines = self._log_lines(log_from)
        for line in reversed(lines):
            for start in _SAID:
                if line.startswith(start):
                    return line.removeprefix("error: ")
        last = f"; the last line of {self.log} is: {lines[-1]}" if lines else ""
        if code < 0:
            return f"ended by signal {-code}{_signal_hint(-code)}{last}"
        return f"ended with exit code {code}{last}"

    def _log_lines(self, start: int) -> Sequence[str]:
        if not self.log.is_file():
            return []
        with self.log.open("rb") as file:
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _wanted(self) -> dict[str, Any]:
        data = self.job.config.data
        return {
            "data_dir": data.dir,
            "dataset": data.dataset,
            "split": self.evaluate.split,
            "where": list(data.where),
        }

    def _place(self) -> dict[str, Any] | None:
        return self._state().get("predicts")

    def _state(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.path / STATE).read_text(encoding="utf-8"))
        return {}

    def _note(self, **values: Any) -> None:
        write_json(self.path / STATE, {**self._state(), **values})


def _signal_hint(number: int) -> str:
    return " (SIGKILL: the system may have had no memory left)" if number == 9 else ""
