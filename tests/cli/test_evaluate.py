"""``deepecg evaluate`` as a command."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deepecg_jax.cli.evaluate import command
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    n = 80
    labels = (rng.random((n, 2)) < 0.4).astype(np.int8)
    path = tmp_path_factory.mktemp("cli") / "p.parquet"
    write_predictions(
        path,
        Predictions(
            names=["Afib", "superclass:NORM"],
            labels=labels,
            scores=np.clip(0.5 * rng.random((n, 2)) + 0.4 * labels, 0, 1),
            record_id=[f"r{i}" for i in range(n)],
            patient_id=[f"p{i // 2}" for i in range(n)],
            age=rng.integers(30, 90, n),
            sex=rng.choice(["female", "male"], n),
        ),
    )
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_writes_both_files_and_prints_tables(file, tmp_path):
    result = run(file, "--out", tmp_path, "--resamples", 20, "--seed", 5, "--cluster", "none")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["resamples"], metrics["seed"], metrics["cluster"]) == (20, 5, None)
    assert "p.parquet" in (tmp_path / "report.html").read_text()
    assert "macro average" in result.stdout
    assert "No thresholds file" in result.stderr


def test_json_on_stdout_and_thresholds(file, tmp_path):
    limits = tmp_path / "t.json"
    limits.write_text('{"Afib": 0.25, "superclass:NORM": 0.75, "unused": 0.1}')
    result = run(file, "--out", tmp_path, "--resamples", 5, "--thresholds", limits, "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["cluster"] == "patient_id"
    assert metrics["thresholds"] == "t.json"
    assert metrics["findings"]["Afib"]["threshold"] == 0.25


def test_bad_input_is_a_user_error_and_bad_usage_exits_2(file, tmp_path):
    result = run(tmp_path / "none.parquet", "--out", tmp_path)
    assert isinstance(result.exception, UserError)
    limits = tmp_path / "t.json"
    limits.write_text('{"Afib": 0.25}')
    result = run(file, "--out", tmp_path, "--thresholds", limits)
    assert isinstance(result.exception, UserError)
    assert "superclass:NORM" in str(result.exception)
    assert run(file, "--out", tmp_path, "--cluster", "site").exit_code == 2
    assert run(file, "--out", tmp_path, "--resamples", 0).exit_code == 2
    assert not (tmp_path / "metrics.json").exists()
