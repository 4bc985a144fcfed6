"""Training a classifier of reports: data, batches, a real run, and the folder it writes."""

import ast
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import typer
from bert_folders import config, need_transformers, write_folder
from typer.testing import CliRunner
from xla_flags import QUICK

from deepecg_jax.cli.train_labeller import command
from deepecg_jax.config import LabellerConfig, ScheduleConfig
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.classifier import ReportClassifier
from deepecg_jax.labelling.training.batches import ReportBatches
from deepecg_jax.labelling.training.data import Columns, read_labelled
from deepecg_jax.labelling.training.train import starting_point
from deepecg_jax.training.optimizer import make_schedule

pytest.importorskip("tokenizers")
N = 240


def start_training(*arguments, cwd):
    """`deepecg train-labeller` in a process of its own, as its C library settings are."""
    return subprocess.Popen(
        [sys.executable, "-m", "deepecg_jax.cli.main", "train-labeller", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"XLA_FLAGS": QUICK},
    )


def train(*arguments, cwd):
    process = start_training(*arguments, cwd=cwd)
    out, error = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, error)


def invoke(*arguments):
    """The error of the command, in this process."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, [str(one) for one in arguments]).exception


@pytest.fixture
def table(tmp_path):
    """Texts that say what their labels are, in the forms in which labels are written."""
    rng = np.random.default_rng(0)
    has = rng.random((N, 2)) < 0.5
    words = [["no afib", "afib"], ["sinus rhythm", "paced rhythm"]]
    rows = {
        "id": [f"r{i}" for i in range(N)],
        "patient": [f"p{i // 2}" for i in range(N)],
        "text": [f"{words[0][int(a)]} {words[1][int(b)]} {i}" for i, (a, b) in enumerate(has)],
        "label:Afib": has[:, 0].astype(int),
        "Paced": np.where(has[:, 1], "present", "absent"),
        "Never": 0,
    }
    path = tmp_path / "reports.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_reads_labels_and_keeps_patients_together(table):
    data = read_labelled(table, Columns("text", ("Afib", "P*", "N*"), "id", "patient"))
    assert data.names == ("Afib", "Paced") and data.left_out == ("Never",)
    frame = pd.read_csv(table)
    np.testing.assert_array_equal(data.labels[:, 0], frame["label:Afib"])
    np.testing.assert_array_equal(data.labels[:, 1], frame["Paced"] == "present")
    assert (data.splits[::2] == data.splits[1::2]).all()  # two reports a patient
    shares = pd.Series(data.splits).value_counts(normalize=True)
    assert abs(shares["train"] - 0.8) < 0.1 and set(shares.index) == {"train", "validation", "test"}


def test_empty_labels_and_texts(table):
    frame = pd.read_csv(table, dtype=str)
    frame.loc[:9, "label:Afib"] = ""
    frame.loc[10, "text"] = " "
    frame.to_csv(table, index=False)
    unknown = read_labelled(table, Columns("text", ("Afib",), "id"))
    assert len(unknown.texts) == N - 11
    assert unknown.n_unlabelled == 10 and unknown.n_without_text == 1
    absent = read_labelled(table, Columns("text", ("Afib",), "id", empty_is="absent"))
    assert len(absent.texts) == N - 1 and (absent.labels[:10] == 0).all()
    assert unknown.sha256() != absent.sha256()


def test_labels_from_the_rule_labeller(table, tmp_path):
    frame = pd.read_csv(table, dtype=str)
    labels = tmp_path / "labels.parquet"
    rows = (
        frame.loc[::-1, ["id"]]
        .assign(Afib=frame["label:Afib"].map({"1": "present", "0": None}), evidence="{}")
        .iloc[:200]
    )
    rows.to_parquet(labels)
    columns = Columns("text", ("*",), "id", empty_is="absent")
    data = read_labelled(table, columns, labels_from=labels)
    assert data.names == ("Afib",) and len(data.texts) == 200 and data.n_unlabelled == N - 200
    np.testing.assert_array_equal(data.labels[:, 0], frame["label:Afib"][40:].astype(int))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (Columns("txt", ("Afib",)), "did you mean 'text'"),
        (Columns("text", ("Afibb",)), "did you mean"),
        (Columns("text", ("Never",)), "'Never' is not both present and absent"),
        (Columns("text", ("patient",)), "a label is present, absent"),
        (Columns("text", ("Afib",), split="patient"), "'p0' in row 2; a split is train"),
        (Columns("text", ("Afib",), patient="patient", split="fold"), "is in the splits train and"),
        (Columns("text", ("Afib",), split="one"), "in the split 'validation'"),
        (Columns("text", ("Afib",), shares="1/0"), "three numbers"),
    ],
)
def test_bad_tables(table, columns, words):
    frame = pd.read_csv(table)
    frame["fold"] = np.where(np.arange(N) % 2, "validation", "train")
    frame["one"] = "train"
    frame.to_csv(table, index=False)
    with pytest.raises(UserError) as caught:
        read_labelled(table, columns)
    assert words in str(caught.value)


def test_batches_are_a_function_of_the_step():
    rng = np.random.default_rng(0)
    tokens = [np.full(rng.integers(2, 60), i + 1, np.int32) for i in range(50)]
    labels = np.arange(50, dtype=np.int8)[:, None]
    make = ReportBatches(tokens, labels, 8, (16, 32, 64), seed=3)
    stream = make(0)
    first = [next(stream) for _ in range(70)]
    for start in (0, 31, 33, 69):
        again = next(make(start))
        for name, value in first[start].items():
            np.testing.assert_array_equal(again[name], value)
    for batch in first:
        assert batch["ids"].shape[1] in (16, 32, 64)
        assert batch["ids"].shape[1] < 2 * max(batch["lengths"].max(), 9)
        mask = np.arange(batch["ids"].shape[1])[None] < batch["lengths"][:, None]
        np.testing.assert_array_equal(batch["ids"], mask * (batch["labels"] + 1))
    # every text comes equally often, up to the pass that is not complete
    rows = np.concatenate([batch["labels"][:, 0] for batch in first[:64]])
    counts = np.bincount(rows, minlength=50)
    assert counts.sum() == 512 and set(counts.tolist()) <= {10, 11}
    whole = next(make(5))
    halves = [next(make(5, rows)) for rows in (np.arange(4), np.arange(4, 8))]
    np.testing.assert_array_equal(np.concatenate([h["ids"] for h in halves]), whole["ids"])


def test_linear_schedule():
    schedule = make_schedule(ScheduleConfig(kind="linear", warmup_steps=10), 1e-3, 110)
    values = [float(schedule(step)) for step in (0, 5, 10, 60, 110)]
    assert values == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-9)


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """1,000 real reports; a tiny classifier of two rhythms that it was trained on."""
    folder = tmp_path_factory.mktemp("labeller")
    frame = pd.read_csv(shared / "data" / "ptbxl_reports" / "reports.csv").iloc[::4][:1000]
    codes = [set(ast.literal_eval(text)) for text in frame["scp_codes"]]
    for name in ("AFIB", "STACH"):
        frame[f"label:{name}"] = [int(name in own) for own in codes]
    frame.to_csv(folder / "reports.csv", index=False)
    shape = config(max_position_embeddings=32, num_hidden_layers=1)
    (folder / "config.json").write_text(json.dumps(shape.to_json()))
    options = [
        "reports.csv",
        "--text",
        "report",
        "--labels",
        "label:*",
        "--id",
        "ecg_id",
        "--patient",
        "patient_id",
        "--init",
        "config.json",
        "--epochs",
        14,
        "--learning-rate",
        3e-3,
        # of few words some seeds learn both rhythms in 14 passes and some do not
        "--seed",
        2,
    ]
    return folder, options, frame


@pytest.mark.slow
@pytest.mark.real
def test_a_real_run(real):
    folder, options, frame = real
    done = train(*options, "--out", "model", cwd=folder)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "model" / "metrics.json").read_text())
    for name in ("AFIB", "STACH"):
        assert metrics["test"]["labels"][name]["auroc"] > 0.9
    assert f"micro F1 {metrics['test']['micro']['f1']:.4f}" in done.stdout
    assert not (folder / "model.training").exists()
    speed = json.loads((folder / "model" / "training.jsonl").read_text().splitlines()[0])
    assert speed["reports_per_s"] > 0

    # what the metrics say is what the folder does
    classifier = ReportClassifier.load(folder / "model")
    assert classifier.labels == ("AFIB", "STACH")
    data = read_labelled(
        folder / "reports.csv", Columns("report", ("label:*",), "ecg_id", "patient_id")
    )
    texts, labels = data.split("test")
    positive = classifier.positive(classifier.scores(texts))
    tp, wrong = (positive & (labels == 1)).sum(), (positive != (labels == 1)).sum()
    assert metrics["test"]["micro"]["f1"] == pytest.approx(2 * tp / (2 * tp + wrong))

    # and transformers computes the same
    transformers = need_transformers()
    import torch

    model = transformers.BertForSequenceClassification.from_pretrained(folder / "model").eval()
    encode = transformers.AutoTokenizer.from_pretrained(folder / "model")
    batch = encode(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(model(**batch).logits).numpy()
    np.testing.assert_allclose(classifier.scores(texts), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.real
def test_a_run_that_is_stopped_and_resumed_is_the_same(real):
    folder, options, _ = real
    log = folder / "again.training" / "metrics.jsonl"
    process = start_training(*options, "--out", "again", cwd=folder)
    while process.poll() is None and not (log.is_file() and log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 3 and "the same command resumes" in said
    assert not (folder / "again").exists()
    done = train(*options, "--out", "again", cwd=folder)
    assert done.returncode == 0 and "resuming at step" in done.stdout
    for name in ("model.safetensors", "thresholds.json", "tokenizer.json", "metrics.json"):
        assert (folder / "again" / name).read_bytes() == (folder / "model" / name).read_bytes()


@pytest.mark.slow
def test_starts_from_a_folder(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "bert", config(num_hidden_layers=1))
    own = huggingface.load(folder)

    def start(names, init=folder):
        values = {
            "workdir": "w",
            "reports": "r",
            "text": "t",
            "labels": names,
            "data_sha256": "",
            "init": str(init),
            "max_length": 20,
            "optimizer": {"learning_rate": 1e-3},
            "stopping": {},
            "schedule": {},
            "train": {"steps": 1, "global_batch": 8},
        }
        return starting_point(LabellerConfig.model_validate(values), ["no afib"] * 9, names)

    other = start(("a", "b"))
    assert other.config.labels == ("a", "b") and "new classifier" in other.about
    assert set(other.params) == {"embeddings", "encoder", "pooler"}
    np.testing.assert_array_equal(other.params["pooler"]["kernel"], own.params["pooler"]["kernel"])
    assert other.tokenizer.max_length == 20
    same = start(own.config.labels)
    assert "classifier" in same.params and same.tokenizer.encode(["x"])[0].tolist() == (
        own.tokenizer.encode(["x"])[0].tolist()
    )
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    scratch = start(("a", "b"), "mini")  # the size, whatever folders there are
    assert scratch.params == {} and scratch.config.hidden_size == 256
    assert scratch.config.vocab_size == scratch.tokenizer.size < 100


def test_never_writes_over_a_folder(table, tmp_path):
    (tmp_path / "out").mkdir()
    error = invoke(table, "--text", "text", "--labels", "Afib", "--out", tmp_path / "out")
    assert isinstance(error, UserError) and "exists already" in str(error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--init", "huge"], "a size: tiny, mini, small, medium, base"),
        (["--epochs", 0], "--epochs is more than 0"),
        (["--empty-is", "maybe"], "unknown or absent"),
        (["--compute-dtype", "int8"], "--compute-dtype"),
        (["--threshold-method", "best"], "no threshold method 'best'"),
        (["--vocab-size", 5], "different characters"),
    ],
)
def test_misuse(table, tmp_path, options, words):
    out = tmp_path / "out"
    error = invoke(table, "--text", "text", "--labels", "Afib", "--out", out, *options)
    assert isinstance(error, UserError) and words in str(error)
    assert not list(tmp_path.glob("out*"))
