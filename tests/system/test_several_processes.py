"""One training by two processes on CPU: the numbers of one process, stops, kills and errors."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from xla_flags import QUICK

LOCAL = Path(__file__).resolve().parents[2] / "launch" / "local.sh"
DEEPECG = [sys.executable, "-m", "deepecg_jax.cli.main"]
SMALL = [
    "pretrain",
    "configs/pretrain/wcr_tiny.yaml",
    "train.steps=6",
    "train.global_batch=16",
    "train.log_every=1",
    "train.checkpoint_every=2",
    "schedule.warmup_steps=2",
    "model.conv_layers=[[32,16,16]]",
    "model.layers=1",
    "model.width=32",
    "model.ffn_width=32",
    "model.scan_unroll=1",
]
# float32 sums over the batch in another order, after six Adam steps
TOLERANCE = 2e-5


def environment() -> dict[str, str]:
    return {**os.environ, "XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, command)),
        env=environment(),
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    """What it printed; insists on its exit code, and leaves nothing running."""
    try:
        out, err = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return out, err


def rows(workdir: Path) -> list[dict]:
    log = workdir / "metrics.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not any(row["step"] >= step for row in rows(workdir)):
        time.sleep(0.02)


def both(first: list[object], second: list[object]) -> tuple[subprocess.Popen[str], ...]:
    """Process 0 and process 1 with commands of their own."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    place = ["--coordinator", f"localhost:{port}", "--processes", 2, "--process-id"]
    return start(*first, *place, 0), start(*second, *place, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    end(start(*DEEPECG, "build", "synthetic", "--data-dir", folder, "--option", "n=120"), 0)
    return folder


@pytest.fixture(scope="module")
def one(data, tmp_path_factory) -> Path:
    """The run of one process."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    end(start(*DEEPECG, *SMALL, f"data.dir={data}", f"workdir={workdir}"), 0)
    return workdir


@pytest.mark.slow
def test_four_processes_compute_what_one_does(data, one, tmp_path):
    """Rows and products over processes; the next test spreads parameters."""
    four = tmp_path / "four"
    mesh = ["mesh.data=2", "mesh.tensor=2", "mesh.split_moments=true"]
    run = [*DEEPECG, *SMALL, f"data.dir={data}", f"workdir={four}", *mesh]
    out, _ = end(start(LOCAL, 4, *run), 0)
    assert "of 4 processes" in out
    found, expected = ([row["loss"] for row in rows(workdir)] for workdir in (four, one))
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


@pytest.mark.slow
def test_two_processes_compute_what_one_does(data, one, tmp_path):
    """Stopped at one process, then both killed; parameters spread over the processes."""
    two = tmp_path / "two"
    run = [*DEEPECG, *SMALL, f"data.dir={data}", f"workdir={two}", "mesh.fsdp=2"]

    first, second = both(run, run)
    wait_for_step(two, 1, first)
    second.terminate()
    _, err = end(first, 3)
    assert "a signal to one of the processes" in err and "the same command resumes" in err
    _, err = end(second, 3)
    assert "resumes" not in err  # process 0 says it for both

    killed = start(LOCAL, 2, *run)
    wait_for_step(two, 5, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    end(killed, -signal.SIGKILL)

    out, _ = end(start(LOCAL, 2, *run), 0)
    assert "of 2 processes" in out and out.count("resuming at step") == 1

    losses: dict[int, set[float]] = {}
    for row in rows(two):
        losses.setdefault(row["step"], set()).add(row["loss"])
    expected = [row["loss"] for row in rows(one)]
    assert sorted(losses) == [1, 2, 3, 4, 5, 6] and len(expected) == 6
    assert all(len(values) == 1 for values in losses.values())  # repeated steps: to the bit
    np.testing.assert_allclose([losses[step].pop() for step in losses], expected, rtol=TOLERANCE)
    for name in ("model.safetensors", "pretraining.safetensors"):
        a, b = load_file(one / "bundle" / name), load_file(two / "bundle" / name)
        assert a.keys() == b.keys()
        for key, value in a.items():
            np.testing.assert_allclose(b[key], value, atol=2e-4, err_msg=key)


@pytest.mark.slow
def test_doctor_finds_both_and_adds_over_them():
    out, _ = end(start(LOCAL, 2, *DEEPECG, "doctor", "--multihost"), 0)
    assert out.count("2 processes") == 1 and "over 2 device(s)" in out


@pytest.mark.slow
def test_an_error_in_one_process_ends_both(data, tmp_path):
    run = [*DEEPECG, *SMALL, f"workdir={tmp_path / 'run'}"]
    good, bad = both([*run, f"data.dir={data}"], [*run, f"data.dir={tmp_path}"])
    _, err = end(bad, 2)
    assert "error: process 1: There is no data set 'synthetic'" in err
    _, err = end(good, 2)
    assert "error: process 1 on" in err and "There is no data set 'synthetic'" in err
    assert "Traceback" not in err and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_nobody_else_comes(tmp_path):
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("localhost", 0))
        port = taken.getsockname()[1]
        run = [*DEEPECG, *SMALL, f"workdir={tmp_path / 'run'}", "--join-timeout", 2]
        alone = start(
            *run, "--coordinator", f"localhost:{port}", "--processes", 2, "--process-id", 1
        )
        _, err = end(alone, 2)
    assert f"nothing answers at localhost:{port}" in err and "firewall" in err
