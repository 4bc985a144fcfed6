"""``deepecg survival`` as a command."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deepecg_jax.cli.survival import command
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions

pytest.importorskip("lifelines")
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    risk = rng.random(300)
    onset, lost = rng.exponential(4000 / (0.2 + risk)), rng.uniform(100, 4000, 300)
    path = tmp_path_factory.mktemp("cli") / "p.parquet"
    write_predictions(
        path,
        Predictions(
            names=["AF"],
            labels=np.full((300, 1), -1),
            scores=risk[:, None],
            record_id=[f"r{i}" for i in range(300)],
            patient_id=[f"p{i // 2}" for i in range(300)],
            age=[60] * 300,
            sex=["male"] * 300,
            extra={
                "time_days": np.minimum(onset, lost),
                "event": (onset <= lost).astype(np.int8),
                "pgs": rng.normal(size=300),
                "charge": rng.normal(size=300) + risk,
            },
        ),
    )
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_files_and_tables(file, tmp_path):
    result = run(
        file,
        "--score",
        "AF",
        "--threshold",
        0.6,
        "--beside",
        "pgs",
        "charge",
        "--blanking-days",
        30,
        "--resamples",
        5,
        "--out",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "survival.json").read_text())
    assert list(found["beside"]) == ["pgs", "charge"]
    assert (found["blanking_days"], found["threshold"]["value"]) == (30.0, 0.6)
    assert "hazard ratio" in result.stdout and "Harrell C" in result.stdout
    assert (tmp_path / "cumulative_incidence.csv").is_file()


def test_json_alone(file, tmp_path):
    result = run(
        file, "--score", "AF", "--out", tmp_path, "--resamples", 2, "--cluster", "none", "--json"
    )
    assert json.loads(result.stdout) == json.loads((tmp_path / "survival.json").read_text())


def test_nothing_is_written_for_a_wrong_column(file, tmp_path):
    result = run(file, "--score", "AFF", "--out", tmp_path / "x")
    assert isinstance(result.exception, UserError) and "did you mean 'AF'" in str(result.exception)
    assert not (tmp_path / "x").exists()
