"""``deepecg label --method bert`` as a command."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from bert_folders import config, write_folder
from typer.testing import CliRunner

from deepecg_jax.cli.label import command
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert.classifier import ReportClassifier

pytest.importorskip("tokenizers")
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)
TEXTS = ["no afib", "", "sinusrhythm", "st bloc de"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    own = config(labels=("Afib", "Sinusal", "own label"))
    return write_folder(tmp_path_factory.mktemp("bert") / "model", own)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "reports.csv"
    rows = {"id": [7, 8, 9, 10], "text": TEXTS, "Afib": [1, 1, 0, 0], "PVC": [1, 1, 1, 1]}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_labels_a_file(file, model, tmp_path):
    out, limits = tmp_path / "labels.parquet", tmp_path / "limits.json"
    scores = ReportClassifier.load(model).scores(TEXTS)
    middle = np.sort(scores[[0, 2, 3], 0])[1]
    limits.write_text(json.dumps({"Afib": float(middle), "Sinusal": 0.0, "own label": 1.0}))
    options = ["--method", "bert", "--model", model, "--thresholds", limits, "--evaluate", file]
    result = run(file, "--id", "id", "--text", "text", "--out", out, *options, "--json")
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out)
    names = ["Afib", "Sinusal", "own label"]
    assert list(table) == ["id", *names, "evidence", *(f"score:{name}" for name in names)]
    assert table["id"].tolist() == [7, 8, 9, 10] and set(table["evidence"]) == {"{}"}
    assert table.loc[1, [*names, "score:Afib"]].isna().all()
    np.testing.assert_allclose(table["score:Afib"].dropna(), scores[[0, 2, 3], 0], atol=1e-6)
    expected = np.where(scores[[0, 2, 3], 0] >= middle, "present", "absent").tolist()
    assert table["Afib"].dropna().tolist() == expected and expected.count("present") == 2
    assert table["Sinusal"].dropna().tolist() == ["present"] * 3
    found = json.loads(result.stdout)
    assert found["n_empty"] == 1 and found["thresholds"] == str(limits)
    assert found["findings"]["Afib"]["present"] == 2
    said = table["Afib"].eq("present").to_numpy()
    truth = np.array([1, 1, 0, 0], bool)
    counts = found["evaluation"]["findings"]
    assert list(counts) == ["Afib"]  # the classifier does not know the other finding
    assert counts["Afib"]["tp"] == (said & truth).sum()
    assert counts["Afib"]["fn"] == (~said & truth).sum()


def test_prints(file, model, tmp_path):
    result = run(
        file,
        "--id",
        "id",
        "--text",
        "text",
        "--out",
        tmp_path / "l.parquet",
        "--method",
        "bert",
        "--model",
        model,
        "--evaluate",
        file,
    )
    assert result.exit_code == 0, result.output
    for words in ("own label", "1 reports have no text", "thresholds.json", "precision"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "magic"], "rules or bert"),
        (["--method", "bert"], "--model FOLDER"),
        (["--model", "x"], "add --method bert"),
        (["--method", "bert", "--model", "nowhere"], "there is no folder nowhere"),
        (["--method", "bert", "--model", "x", "--language", "de"], "--language is of the rules"),
        (["--method", "bert", "--model", "x", "--explain", "AF"], "--explain is of the rules"),
        (["--method", "bert", "--model", "x", "--workers", "2"], "--workers is of the rules"),
    ],
)
def test_misuse(file, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    error = run(file, "--id", "id", "--text", "text", "--out", "out", *options).exception
    assert isinstance(error, UserError) and words in str(error)
    assert not (tmp_path / "out").exists()


def test_a_label_with_the_name_of_a_column(file, tmp_path):
    folder = write_folder(tmp_path / "model", config(labels=("id",)))
    error = run(
        file,
        "--id",
        "id",
        "--text",
        "text",
        "--out",
        tmp_path / "out",
        "--method",
        "bert",
        "--model",
        folder,
    ).exception
    assert isinstance(error, UserError) and "another column's name" in str(error)
