"""Jobs through submitit, whose local cluster stands for Slurm."""

import sys
import time

import pytest
from sweeps import plan_of

from deepecg_jax.errors import UserError
from deepecg_jax.sweep.work import slurm
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.sweep.work.slurm import Slurm, SlurmCommand

ECHO = (sys.executable, "-c", "import sys; print(sys.argv[2]); sys.exit('nowhere' in sys.argv[1])")


def folder_of(path) -> JobFolder:
    plan = plan_of(path, baselines=False)
    folder = JobFolder.of(plan, next(iter(plan.jobs)))
    folder.prepare()
    return folder


def test_without_submitit_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'deepecg_jax\[slurm\]'"):
        Slurm(ECHO, tmp_path, {})


def test_without_slurm_it_is_a_sentence(tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match="jobs cannot be submitted to Slurm from here"):
        Slurm(ECHO, tmp_path, {"slurm_nothing": 1})


@pytest.mark.slow
@pytest.mark.parametrize("name, code", [("sweep", 0), ("nowhere", 1)])
def test_a_job_runs_and_its_exit_code_comes_back(tmp_path, name, code):
    pytest.importorskip("submitit")
    folder = folder_of(tmp_path / name)
    launcher = Slurm(ECHO, tmp_path / "logs", {"timeout_min": 1}, cluster="local")
    job = launcher.start(folder, 0)
    end = time.monotonic() + 60
    while job.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert job.poll() == code
    assert folder.log.read_text() == f'[["pretrain", "{folder.config_file}"]]\n'


def test_a_preempted_job_is_queued_again():
    pytest.importorskip("submitit")
    command = SlurmCommand(("a", "b"), "log")
    assert command.checkpoint().function == command
