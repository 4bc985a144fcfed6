"""The folder of a sweep is one sweep's; that of a job says what was done, and why it failed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import plan_of

from deepecg_jax.errors import UserError
from deepecg_jax.sweep.work.attempts import ATTEMPTS, attempt, device_of, seconds_of
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.sweep.work.lock import alone

HOLD = """
import sys, time
from pathlib import Path
from deepecg_jax.sweep.work.lock import alone
with alone(Path(sys.argv[1]), "a sweep"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_is_gone_however_it_ends(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "new"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=f"a sweep of .*new is running .* .process {holder.pid} on"),
        alone(tmp_path / "new", "a sweep", patience=0.2),
    ):
        pass
    holder.kill()
    with alone(tmp_path / "new", "a sweep", patience=5.0):
        assert (tmp_path / "new" / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    holder.wait()
    holder.stdout.close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="the folder .*file/sweep cannot be used"),
        alone(tmp_path / "file" / "sweep", "a sweep"),
    ):
        pass


def test_time_and_device_of_attempts(tmp_path):
    assert seconds_of(tmp_path) is None and device_of(tmp_path) is None
    with attempt(tmp_path):
        time.sleep(0.05)
    first = seconds_of(tmp_path)
    assert first is not None and 0.05 <= first < 5 and "cpu" in str(device_of(tmp_path))
    # killed after it had written for ten seconds, in the middle of a line
    began = time.time() - 100
    with (tmp_path / ATTEMPTS).open("a") as file:
        file.write(f'\n{{"started": {began}}}\n{{"sec')
    (tmp_path / "log.txt").write_text("")
    os.utime(tmp_path / "log.txt", (began + 10, began + 10))
    os.utime(tmp_path / ATTEMPTS, (began, began))
    with attempt(tmp_path):
        pass
    total = seconds_of(tmp_path)
    assert total is not None and 10 <= total - first < 11


def job_folder(tmp_path: Path, kind: str = "finetune", **values) -> JobFolder:
    plan = plan_of(tmp_path, **values)
    name = next(name for name, job in plan.jobs.items() if job.kind == kind)
    return JobFolder.of(plan, name)


def test_commands_are_those_that_one_types(tmp_path):
    where = {"finetune.data.where": ["noise < 0.1"], "finetune.data.dir": "my data"}
    folder = job_folder(tmp_path, set=where, evaluate={"split": "validation"})
    finetune, predict = folder.lines()
    assert finetune == f"deepecg finetune {folder.path}/finetune.yaml"
    assert predict == (
        f"deepecg predict {folder.path}/finetune --data-dir 'my data' --dataset ptb_xl --split "
        f"validation --where 'noise < 0.1' --out {folder.path}/predictions.parquet"
    )
    assert len(job_folder(tmp_path, "pretrain").lines()) == 1
    assert job_folder(tmp_path, "age_sex").lines() == []


def test_a_job_is_finished_when_its_last_file_is_there(tmp_path):
    pretraining, finetuning = job_folder(tmp_path, "pretrain"), job_folder(tmp_path)
    for folder in (pretraining, finetuning):
        folder.prepare()
        assert not folder.finished() and folder.config_file.is_file()
        (folder.workdir / "bundle").mkdir(parents=True)
        (folder.workdir / "bundle" / "config.json").write_text("{}")
    assert pretraining.finished() and not finetuning.finished()
    finetuning.predictions.write_text("")
    assert finetuning.finished()
    # another split is wanted now: what was predicted is of no use
    other = job_folder(tmp_path, evaluate={"split": "validation"})
    assert other.path == finetuning.path and not other.finished()
    other.prepare()
    assert not other.predictions.exists()


def test_a_folder_with_another_run_is_refused(tmp_path):
    folder = job_folder(tmp_path, "pretrain")
    folder.prepare()
    folder.workdir.mkdir()
    text = folder.config_file.read_text()
    (folder.workdir / "config.yaml").write_text(text.replace("mask_share: 0.4", "mask_share: 0.5"))
    with pytest.raises(UserError, match="holds a run of another config .objective.mask_share is"):
        folder.check()


def test_the_reason_is_the_sentence_that_was_printed(tmp_path):
    folder = job_folder(tmp_path)
    folder.prepare()
    assert folder.reason(1) == "ended with exit code 1"
    folder.log.write_text("error: of an earlier attempt.\n")
    start = folder.log_size()
    with folder.log.open("a") as log:
        log.write("Traceback ...\nerror: there is no data set 'x'.\nsee its help\n")
    assert folder.reason(2, start) == "there is no data set 'x'."
    start = folder.log_size()
    with folder.log.open("a") as log:
        log.write("unexpected failure: KeyError: 'a'\nrun the command again with --debug\n")
    assert folder.reason(1, start) == "unexpected failure: KeyError: 'a'"
    start = folder.log_size()
    with folder.log.open("a") as log:
        log.write("Traceback\nMemoryError: no more\n")
    assert folder.reason(1, start).endswith("log.txt is: MemoryError: no more")
    assert folder.reason(-9, start).startswith("ended by signal 9 (SIGKILL: the system may have")


def test_a_failure_is_kept_until_the_next_attempt(tmp_path):
    folder = job_folder(tmp_path)
    assert folder.failed() is None
    folder.prepare()
    folder.fail("why")
    assert folder.failed() == "why"
    folder.prepare()
    assert folder.failed() is None
