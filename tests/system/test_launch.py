"""The scripts in launch/: well formed, and what they would run on a cluster."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = [LAUNCH / "local.sh", LAUNCH / "slurm.sbatch", LAUNCH / "tpu_vm.sh"]


def stand_in(folder: Path, name: str, body: str) -> None:
    """A command of that name for `run` to find first."""
    file = folder / name
    file.write_text(f"#!/usr/bin/env bash\n{body}\n")
    file.chmod(0o755)


def run(folder: Path, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": path, "HOME": str(folder), **environment},
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_shell_accepts_it(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_without_arguments_it_says_how(script, tmp_path):
    done = run(tmp_path, script)
    assert done.returncode == 2 and script.name in done.stderr


def test_local_gives_each_process_its_place_and_returns_what_failed(tmp_path):
    stand_in(tmp_path, "job", 'echo "$DEEPECG_PROCESS_ID of $DEEPECG_PROCESSES: $*"; exit $1')
    done = run(tmp_path, LAUNCH / "local.sh", 3, "job", 5, "a b", JAX_PLATFORMS="cpu")
    assert sorted(done.stdout.splitlines()) == [f"{i} of 3: 5 a b" for i in range(3)]
    assert done.returncode == 5


def test_local_gives_each_process_a_gpu_of_its_own(tmp_path):
    stand_in(tmp_path, "nvidia-smi", "echo GPU 0; echo GPU 1")
    stand_in(tmp_path, "job", 'echo "$DEEPECG_PROCESS_ID ${JAX_LOCAL_DEVICE_IDS:-all}"')
    two = run(tmp_path, LAUNCH / "local.sh", 2, "job", JAX_PLATFORMS="cuda")
    assert sorted(two.stdout.splitlines()) == ["0 0", "1 1"]
    three = run(tmp_path, LAUNCH / "local.sh", 3, "job", JAX_PLATFORMS="cuda")
    assert sorted(three.stdout.splitlines()) == ["0 all", "1 all", "2 all"]


def test_slurm_starts_every_task_and_requeues_what_was_stopped(tmp_path):
    stand_in(tmp_path, "srun", 'echo "srun $* proxy=${http_proxy:-none}"; exit "$CODE"')
    stand_in(tmp_path, "scontrol", 'echo "scontrol $*"')
    script = [LAUNCH / "slurm.sbatch", "pretrain", "c.yaml", "workdir=a b"]
    for code, requeued in (("0", False), ("3", True), ("2", False)):
        done = run(tmp_path, *script, CODE=code, SLURM_JOB_ID="7", http_proxy="http://p")
        assert "deepecg pretrain c.yaml workdir=a b proxy=none" in done.stdout
        assert ("scontrol requeue 7" in done.stdout) == requeued
        assert done.returncode == int(code)


def test_tpu_starts_once_on_every_host_and_stops(tmp_path):
    # a stand-in that runs on this machine what should run on the hosts
    stand_in(
        tmp_path,
        "gcloud",
        'echo "$@" | head -1 >> ~/calls\nfor last; do :; done\n'
        'case "$last" in --command=*) bash -c "${last#--command=}";; esac',
    )
    program = tmp_path / "deepecg-env" / "bin"
    program.mkdir(parents=True)
    stand_in(
        program,
        "deepecg",
        'trap "echo stopped; exit 3" TERM; echo "ran: $3"\nfor _ in {1..300}; do sleep 0.1; done',
    )
    where = {"TPU": "mine", "ZONE": "z"}
    script = LAUNCH / "tpu_vm.sh"
    first = run(tmp_path, script, "train", "pretrain", "c.yaml", "labels=[a b, 'c']", **where)
    assert first.returncode == 0, first.stderr
    again = run(tmp_path, script, "train", "pretrain", "c.yaml", **where)
    assert again.returncode == 2 and "stop it first" in again.stderr
    assert run(tmp_path, script, "stop", **where).returncode == 0
    log = tmp_path / "deepecg.log"
    for _ in range(100):
        if "stopped" in log.read_text():
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert log.read_text().splitlines() == ["ran: labels=[a b, 'c']", "stopped"]
    calls = (tmp_path / "calls").read_text()
    assert calls.count("compute tpus tpu-vm ssh mine --zone z --worker=all") == 3
