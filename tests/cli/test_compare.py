"""``deepecg compare`` and the further options of ``deepecg evaluate`` as commands."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from deepecg_jax.cli.main import app
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions

N = 90


def write(path, seed, n=N, prefix="r"):
    truth = np.random.default_rng(0)
    labels = (truth.random((N, 2)) < 0.4).astype(np.int8)[:n]
    rng = np.random.default_rng(seed)
    write_predictions(
        path,
        Predictions(
            names=["Afib", "superclass:NORM"],
            labels=labels,
            scores=np.clip(0.5 * rng.random((n, 2)) + 0.4 * labels, 0, 1),
            record_id=[f"{prefix}{i}" for i in range(n)],
            patient_id=[f"{prefix}p{i // 2}" for i in range(n)],
            age=np.arange(n) % 60 + 30,
            sex=np.where(np.arange(n) % 4 < 2, "female", "male"),
            extra={"site": ["x" if i < n // 2 else "y" for i in range(n)]},
        ),
    )
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return write(folder / "a.parquet", 1), write(folder / "b.parquet", 2, n=80)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compare(files, tmp_path):
    result = run("compare", *files, "--out", tmp_path, "--resamples", 20, "--seed", 3)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert (found["n_matched"], found["only_in_a"], found["resamples"]) == (80, 10, 20)
    assert (found["permutations"], found["cluster"]) == (20, "patient_id")
    entry = found["findings"]["Afib"]
    assert {"a", "b", "difference", "p_delong", "p_bootstrap", "p_holm"} <= set(entry)
    assert set(found["macro"]) >= {"a", "b", "difference", "p_bootstrap", "p_holm"}
    assert (tmp_path / "comparison.csv").is_file()
    assert "macro average" in result.stdout
    as_json = run("compare", *files, "--out", tmp_path, "--resamples", 20, "--seed", 3, "--json")
    assert json.loads(as_json.stdout) == found


def test_compare_refuses(files, tmp_path):
    strangers = write(tmp_path / "c.parquet", 1, prefix="other")
    result = run("compare", files[0], strangers, "--out", tmp_path / "out")
    assert isinstance(result.exception, UserError)
    assert "no record_id in common" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_fit_on_one_file_and_apply_to_another(files, tmp_path):
    validation = write(tmp_path / "v.parquet", 5, prefix="v")
    result = run(
        "evaluate",
        files[0],
        "--out",
        tmp_path,
        "--resamples",
        10,
        "--json",
        "--fit-thresholds",
        validation,
        "--threshold-method",
        "sensitivity=0.9",
    )
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics["thresholds"] == "sensitivity=0.9 on v.parquet (90 records)"
    assert metrics["threshold_fit"]["same_data"] is False
    assert metrics["threshold_fit"]["optimism"] is None
    assert "too good" not in result.stderr


def test_fit_on_the_reported_data_shows_the_optimism(files, tmp_path):
    result = run(
        "evaluate",
        files[0],
        "--out",
        tmp_path,
        "--resamples",
        10,
        "--fit-thresholds",
        files[0],
        "--threshold-method",
        "f1",
    )
    assert result.exit_code == 0, result.output
    assert "too good" in result.stderr.replace("\n", " ")
    fit = json.loads((tmp_path / "metrics.json").read_text())["threshold_fit"]
    assert fit["same_data"] is True
    f1 = fit["optimism"]["macro"]["f1"]
    assert f1["corrected"] == pytest.approx(f1["apparent"] - f1["optimism"])
    partly = run(
        "evaluate", files[1], "--out", tmp_path, "--resamples", 5, "--fit-thresholds", files[0]
    )
    assert "45 patients of a.parquet" not in partly.stderr
    assert "40 patients of a.parquet" in partly.stderr.replace("\n", " ")


def test_everything_else(files, tmp_path):
    groups = tmp_path / "g.json"
    groups.write_text('{"both": ["Afib", "superclass:NORM"]}')
    result = run(
        "evaluate",
        files[0],
        "--out",
        tmp_path,
        "--resamples",
        10,
        "--interval",
        "bca",
        "--stratify",
        "site",
        "--groups",
        groups,
        "--by",
        "site",
        "--by",
        "label:Afib",
        "--fairness-definition",
        "original",
        "--devices",
        0,
    )
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["interval"] == "bca"
    assert metrics["stratify"]["clusters"] == {"x": 23, "y": 22}
    assert metrics["groups"]["both"]["micro"] == metrics["micro"]
    assert list(metrics["fairness"]) == ["sex", "age", "sex x age", "site", "label:Afib"]
    assert metrics["fairness"]["sex"]["definition"] == "original"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--by", "hospital"], "no column 'hospital'"),
        (["--threshold-method", "best"], "no threshold method 'best'"),
        (["--thresholds", "t.json", "--fit-thresholds", "v.parquet"], "not both"),
        (["--groups", "none.json"], "no groups file"),
        (["--devices", "99"], "--devices 99"),
    ],
)
def test_bad_options_write_nothing(files, tmp_path, arguments, says):
    result = run("evaluate", files[0], "--out", tmp_path / "out", *arguments)
    assert isinstance(result.exception, UserError)
    assert says in str(result.exception)
    assert not (tmp_path / "out").exists()
