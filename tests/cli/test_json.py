"""``--json``: standard output of every evaluation command is exactly one JSON document."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from deepecg_jax.bundle import cost as cost_module
from deepecg_jax.cli.main import app
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions

N = 80


def write(path, seed, extra=None):
    labels = (np.random.default_rng(0).random((N, 2)) < 0.4).astype(np.int8)
    rng = np.random.default_rng(seed)
    write_predictions(
        path,
        Predictions(
            names=["Afib", "LBBB"],
            labels=labels,
            scores=np.clip(0.5 * rng.random((N, 2)) + 0.4 * labels, 0, 1),
            record_id=[f"{seed}r{i}" for i in range(N)]
            if seed > 1
            else [f"r{i}" for i in range(N)],
            patient_id=[f"{seed}p{i // 2}" for i in range(N)]
            if seed > 1
            else [f"p{i // 2}" for i in range(N)],
            age=np.arange(N) % 60 + 30,
            sex=np.where(np.arange(N) % 4 < 2, "female", "male"),
            extra=extra or {},
        ),
    )
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(5)
    extra = {
        "site": [str(i % 2) for i in range(N)],
        "time_days": rng.integers(1, 900, N).astype(float),
        "event": (rng.random(N) < 0.4).astype(int),
    }
    return {
        "a": write(folder / "a.parquet", 0, extra),
        "b": write(folder / "b.parquet", 1),
        "c": write(folder / "c.parquet", 2),
        "calibration": folder / "calibration.json",
    }


COMMANDS = {
    "evaluate": ["evaluate", "{a}", "--out", "{out}", "--resamples", "4"],
    "compare": ["compare", "{a}", "{b}", "--out", "{out}", "--resamples", "4"],
    "survival": [
        "survival",
        "{a}",
        "--score",
        "Afib",
        "--horizon-years",
        "1",
        "--out",
        "{out}",
        "--resamples",
        "4",
    ],
    "fit": ["calibrate", "{a}", "--method", "platt", "--out", "{calibration}"],
    "apply": ["calibrate", "{a}", "--apply", "{calibration}", "--out", "{out}/new.parquet"],
    "sites": ["sites", "{a}", "--out", "{out}", "--resamples", "10"],
    "privacy": [
        "privacy",
        "--members",
        "{a}",
        "--non-members",
        "{c}",
        "--out",
        "{out}",
        "--resamples",
        "4",
    ],
    "cost": ["cost", "{out}"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_one_document_and_nothing_else(files, tmp_path, monkeypatch, name):
    if name == "survival":
        pytest.importorskip("lifelines")
    if name == "apply" and not files["calibration"].is_file():
        words = [w.format(**files, out=tmp_path) for w in COMMANDS["fit"]]
        assert CliRunner().invoke(app, words).exit_code == 0
    # what a bundle costs is measured in tests/interop; here only the printing counts
    monkeypatch.setattr(cost_module, "cost", lambda *_: {"parameters": 1})
    words = [word.format(**files, out=tmp_path) for word in COMMANDS[name]]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict) and found
    assert result.stdout.count("\n") == 1
