"""``deepecg label`` as a command."""

import json

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from deepecg_jax.cli.label import command
from deepecg_jax.errors import UserError
from deepecg_jax.labels.findings import FINDINGS

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "reports.csv"
    rows = {"id": [1, 2, 3], "text": ["no AF", "", "qwertz"], "Afib": ["absent", "present", ""]}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_labels_a_file(file, tmp_path):
    out = tmp_path / "labels.parquet"
    result = run(file, "--id", "id", "--text", "text", "--out", out)
    assert result.exit_code == 0, result.output
    assert pd.read_parquet(out)["Afib"].tolist()[0] == "absent"
    for words in ("Afib", "1 reports have no text", "1 reports have no word of a known language"):
        assert words in result.stdout


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_labels_are_written_by_the_suffix(file, tmp_path, name):
    out = tmp_path / name
    assert run(file, "--id", "id", "--text", "text", "--out", out).exit_code == 0
    table = pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)
    assert list(table)[:2] == ["id", FINDINGS[0]] and table["id"].tolist() == [1, 2, 3]
    assert json.loads(table["evidence"][0]) == {"Afib": [[0, 2], [3, 5]]}
    refused = run(file, "--id", "id", "--text", "text", "--out", tmp_path / "labels.xlsx")
    assert "would be no table" in str(refused.exception)


def test_spans_point_into_the_text_of_the_file(tmp_path):
    text = "  No AF "
    (tmp_path / "r.csv").write_text(f"id;text\n1;{text}\n")
    out = tmp_path / "l.parquet"
    run(tmp_path / "r.csv", "--id", "id", "--text", "text", "--out", out)
    spans = json.loads(pd.read_parquet(out)["evidence"][0])["Afib"]
    assert [text[start:end] for start, end in spans] == ["No", "AF"]


def test_json_and_evaluation(file, tmp_path):
    wrong = tmp_path / "wrong.csv"
    result = run(
        file, "--id", "id", "--text", "text", "--evaluate", file, "--json", "--disagreements", wrong
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["n_reports"] == 3 and found["n_empty"] == 1 and found["n_language_unknown"] == 1
    assert found["findings"] == {"Afib": {"present": 0, "uncertain": 0, "absent": 1}}
    assert found["evaluation"]["findings"]["Afib"]["fn"] == 1
    assert pd.read_csv(wrong)["id"].tolist() == [2]
    assert "macro F1" in run(file, "--id", "id", "--text", "text", "--evaluate", file).stdout


def test_explain():
    text = "No AF. Possible LBBB"
    result = run("--explain", text)
    assert result.exit_code == 0 and "uncertain" in result.stdout and "Possible" in result.stdout
    found = json.loads(run("--explain", text, "--json").stdout)
    assert found["language"] == "en"
    assert found["findings"]["Left bundle branch block"] == {
        "state": "uncertain",
        "evidence": [[7, 15], [16, 20]],
        "words": ["Possible", "LBBB"],
    }
    assert "no word of a known language" in run("--explain", "qwertz").stdout


def test_rules_to_edit(tmp_path):
    folder = tmp_path / "rules"
    assert run("--export-rules", folder).exit_code == 0
    path = folder / "en" / "rhythm.yaml"
    path.write_text(path.read_text().replace("(afib|", "(delirium cordis|afib|"))
    found = json.loads(run("--explain", "delirium cordis", "--rules", folder, "--json").stdout)
    assert list(found["findings"]) == ["Afib"]
    with pytest.raises(UserError, match="exists already"):
        raise run("--export-rules", folder).exception


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--id COLUMN"),
        (["--id", "id", "--text", "text"], "--out labels.parquet"),
        (["--id", "id", "--text", "text", "--out", "x", "--language", "nl"], "de, en, fr, sv"),
        (["--id", "id", "--text", "text", "--out", "x", "--disagreements", "y"], "--evaluate"),
    ],
)
def test_misuse(file, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    error = run(file, *options).exception
    assert isinstance(error, UserError) and words in str(error)
    assert not (tmp_path / "x").exists()
