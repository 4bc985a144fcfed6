"""``deepecg sweep`` as a person types it: killed three times it ends in the same table."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from xla_flags import QUICK

from deepecg_jax.data.building.build import build

SWEEP = {
    "stages": {
        "pretrain": "configs/pretrain/wcr_tiny.yaml",
        "finetune": "configs/quickstart/finetune.yaml",
    },
    "set": {
        "data.dataset": "synthetic",
        "model.conv_layers": [[32, 16, 16]],
        "model.layers": 1,
        "model.width": 32,
        "model.ffn_width": 32,
        "model.scan_unroll": 1,
        "train.global_batch": 16,
        "train.log_every": 1,
        "train.checkpoint_every": 1,
        "schedule.warmup_steps": 0,
        "pretrain.train.steps": 4,
        "finetune.train.steps": 3,
        "finetune.stopping.evaluate_every": 1,
        "finetune.labels": ["Afib", "Left bundle branch block"],
        "finetune.data.label_share": 1.0,
    },
    "runs": {
        "wcr": {},
        "probe": {"finetune.mode": "linear"},
        "broken": {"pretrain": None, "finetune.labels": ["Afibb"]},
    },
    "seeds": [0, 1],
    "evaluate": {"resamples": 50},
    "reference": "wcr",
    "baselines": False,
}
SAME = ["run", "seed", "status", "reason", "parameters", "folder"]
SAME += ["macro_auroc", "macro_auroc_low", "macro_auroc_high"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    build("synthetic", folder / "data", options={"n": "240"})
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    return folder


def start(folder: Path, workdir: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deepecg_jax.cli.main", "sweep", folder / "sweep.yaml"]
    return subprocess.Popen(
        [*command, "--workdir", folder / workdir, f"data.dir={folder / 'data'}", *arguments],
        env={**os.environ, "XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == code, printed
    return printed


def rows_of(folder: Path, workdir: str) -> list[dict[str, object]]:
    table = pq.read_table(folder / workdir / "table.parquet").to_pylist()
    return [{name: row[name] for name in SAME} for row in table]


def wait_for_job(number: int, process: subprocess.Popen[str]) -> None:
    """Return when the sweep says that it has started its job of that number, or a later one."""
    assert process.stdout is not None
    read = []
    for line in process.stdout:
        read.append(line)
        found = re.match(r"(\d)/7 ", line)
        if found and int(found[1]) >= number:
            return
    raise AssertionError("".join(read))


@pytest.mark.slow
def test_killed_three_times_it_ends_in_the_same_table(folder):
    whole = finish(start(folder, "whole", "--at-once", "2"))
    assert "2 of 6 failed" in whole and "macro AUROC 0." in whole
    rows = rows_of(folder, "whole")
    assert [row["status"] for row in rows] == ["done"] * 4 + ["failed"] * 2
    assert "has no label 'Afibb'; did you mean 'Afib'" in str(rows[4]["reason"])

    draws = random.Random(0)
    for n, number in ((1, signal.SIGKILL), (2, signal.SIGTERM), (3, signal.SIGKILL)):
        process = start(folder, "killed")
        wait_for_job(n, process)
        time.sleep(draws.uniform(0, 2))
        assert process.poll() is None
        process.send_signal(number)
        if number == signal.SIGKILL:
            finish(process, -number)
        else:
            assert "and the same command goes on" in finish(process, 3)
    again = finish(start(folder, "killed", "--at-once", "2"))
    assert "of them finished" in again
    assert rows_of(folder, "killed") == rows
    assert len(list((folder / "killed" / "runs").iterdir())) == 7  # one pretraining, six runs


@pytest.mark.slow
def test_a_dry_run_writes_nothing(folder):
    said = finish(start(folder, "nowhere", "--dry-run"))
    assert "6 runs from 7 jobs; about" in said and "a guess from the number of operations" in said
    assert not (folder / "nowhere").exists()


@pytest.mark.slow
def test_printed_commands_can_be_run_elsewhere(folder):
    said = finish(start(folder, "printed", "--launch", "print", "runs={wcr: {}}", "seeds=[0]"))
    lines = [line for line in said.splitlines() if line.startswith("deepecg ")]
    assert [line.split()[1] for line in lines] == ["pretrain", "finetune", "predict"]
    assert all(f"{folder}/printed/runs/" in line for line in lines)
    (row,) = rows_of(folder, "printed")
    assert (row["status"], row["macro_auroc"]) == ("running", None)
