"""``import deepecg_jax as de``: what is offered, how light it is, and every docstring's call."""

import ast
import doctest
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from bundles import *  # noqa: F403
from ecg_devices import write_muse
from ecg_sources import write_wfdb
from sklearn.metrics import roc_auc_score

import deepecg_jax as de
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.table.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.synthetic import generate

NAMES = (
    *("read", "standardize", "label", "build", "open_split", "load", "predict", "evaluate"),
    *("compare", "auroc", "bootstrap_auroc", "standardize_deepecg", "plot"),
)
ECG = generate(np.arange(1), seed=5).signal[0]


def table(seed: int, n: int = 60) -> Predictions:
    truth = np.random.default_rng(0)
    labels = (truth.random((n, 2)) < 0.4).astype(np.int8)
    scores = np.clip(0.5 * np.random.default_rng(seed).random((n, 2)) + 0.4 * labels, 0, 1)
    return Predictions(
        names=("Afib", "LBBB"),
        labels=labels,
        scores=scores,
        record_id=np.array([f"r{i}" for i in range(n)], object),
        patient_id=np.array([f"p{i // 2}" for i in range(n)], object),
        age=np.arange(n) % 60 + 30.0,
        sex=np.where(np.arange(n) % 4 < 2, "female", "male").astype(object),
        extra={"device": np.where(np.arange(n) % 3 < 1, "a", "b").astype(object)},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save_bundle) -> Path:
    """What the docstrings speak of."""
    folder = tmp_path_factory.mktemp("front")
    write_wfdb(folder / "ecg", ECG)
    write_muse(folder / "muse.xml")
    np.save(folder / "ecg.npy", np.zeros((5000, 2), np.float32))
    de.build("synthetic", folder / "data", options={"n": "60"})
    save_bundle(folder / "bundle")
    write_predictions(folder / "predictions.parquet", table(1))
    write_predictions(folder / "other.parquet", table(2))
    return folder


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_offers_these_names_and_no_other() -> None:
    assert set(de.__all__) == set(NAMES) == set(de._FRONT)
    assert {name for name in dir(de) if not name.startswith("__")} == set(NAMES)
    assert all(callable(getattr(de, name)) for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        de.no_such_name  # noqa: B018


def test_type_checkers_see_what_is_imported() -> None:
    tree = ast.parse(Path(de.__file__).read_text())
    seen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                for alias in line.names:
                    seen[alias.asname] = (line.module, alias.name)
    assert seen == de._FRONT
    assert (Path(de.__file__).parent / "py.typed").is_file()


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys, importlib, typing; before = set(sys.modules); import deepecg_jax as de; "
        "dir(de); print(sorted(set(sys.modules) - before))"
    )
    assert run(code) == "['deepecg_jax']"


@pytest.mark.parametrize("name", ["read", "standardize", "plot", "label"])
def test_signals_and_texts_need_no_jax(name) -> None:
    heavy = "('jax', 'tensorflow', 'tensorflow_datasets', 'pandas', 'torch')"
    code = (
        f"import sys, deepecg_jax as de; de.{name}; print([m for m in {heavy} if m in sys.modules])"
    )
    assert run(code) == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_shows_a_call_that_works(name, folder, monkeypatch) -> None:
    if name == "read":
        pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")
    monkeypatch.chdir(folder)
    function = getattr(de, name)
    globs = {"de": de, "np": np, name: function}
    found = doctest.DocTestFinder(recurse=False).find(function, name, globs=globs)
    examples = [example for test in found for example in test.examples]
    assert any(name in example.source for example in examples), f"{name} shows no call of itself"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for test in found:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize(
    "form", [lambda path: path, str, pd.read_parquet, pq.read_table, read_predictions]
)
def test_evaluate_takes_a_table_in_any_form(form, folder) -> None:
    path = folder / "predictions.parquet"
    found = de.evaluate(form(path), resamples=20, seed=3, by=["device"])
    assert found == de.evaluate(table(1), resamples=20, seed=3, by=["device"])
    plain = evaluate(read_predictions(path))
    assert found["macro"]["auroc"]["value"] == plain["macro"]["auroc"]["value"]
    assert set(found["fairness"]["device"]["groups"]) == {"a", "b"}


def test_evaluate_takes_thresholds_and_writes(folder, tmp_path) -> None:
    said = de.evaluate(table(1), thresholds={"Afib": 0.3, "LBBB": 0.6}, resamples=5, out=tmp_path)
    assert said["findings"]["Afib"]["threshold"] == 0.3
    assert (tmp_path / "metrics.json").is_file() and (tmp_path / "report.html").is_file()
    (tmp_path / "t.json").write_text('{"Afib": 0.3, "LBBB": 0.6}')
    again = de.evaluate(table(1), thresholds=tmp_path / "t.json", resamples=5)
    assert again["findings"] == said["findings"] and again["thresholds"] == "t.json"
    with pytest.raises(UserError, match="not a list"):
        de.evaluate([1, 2])  # type: ignore[arg-type]


def test_compare_is_antisymmetric(folder) -> None:
    there = de.compare(table(1), folder / "other.parquet", resamples=20, permutations=0)
    back = de.compare(folder / "other.parquet", table(1), resamples=20, permutations=0)
    one, other = there["macro"]["difference"], back["macro"]["difference"]
    assert one["value"] == -other["value"] and one["low"] == pytest.approx(-other["high"])


def test_auroc_is_scikit_learns_with_evaluates_interval() -> None:
    p = table(1)
    found = de.auroc(p.labels[:, 0], p.scores[:, 0], p.patient_id, resamples=300, seed=7)
    assert found.estimate == pytest.approx(roc_auc_score(p.labels[:, 0], p.scores[:, 0]))
    same = de.evaluate(p, resamples=300, seed=7)["findings"]["Afib"]["auroc"]
    assert found == pytest.approx((same["value"], same["low"], same["high"]))
    alone = de.auroc(p.labels[:, 0], p.scores[:, 0], resamples=300, seed=7)
    assert alone.estimate == found.estimate and alone.low != found.low
    half = p.labels[:, 0].astype(float)
    half[:30] = np.nan
    later = de.auroc(half, p.scores[:, 0])
    assert later.estimate == pytest.approx(roc_auc_score(half[30:], p.scores[30:, 0]))
    assert np.isnan(de.auroc([1, 1], [0.1, 0.2])).all()


@pytest.mark.parametrize(
    ("labels", "scores", "more", "words"),
    [
        ([0, 1], [0.5], {}, "two lists of one length"),
        ([0, 1], [0.5, 0.6], {"patients": ["a"]}, "patients of shape"),
        ([0, 1], [0.5, 0.6], {"patients": ["a", ""]}, "no patient_id"),
        ([0, 2], [0.5, 0.6], {}, "label"),
        ([0, 1], [0.5, np.nan], {}, "NaN"),
        ([0, 1], [0.5, 0.6], {"resamples": 0}, "at least 1"),
    ],
)
def test_what_auroc_refuses(labels, scores, more, words) -> None:
    with pytest.raises(UserError, match=words):
        de.auroc(labels, scores, **more)


def test_predict_takes_recordings_files_and_splits(folder) -> None:
    recording = Recording(ECG, STANDARD_LEADS, 250.0, record_id="mine", device="d", sex="male")
    flat = Recording(np.zeros((2500, 12)), STANDARD_LEADS, 250.0, record_id="flat")
    bundle = de.load(folder / "bundle")
    with pytest.warns(UserWarning, match="flat was left out: 12 of 12 leads are flat"):
        found = de.predict(bundle, [recording, flat, folder / "ecg.hea"])
    assert found.record_id.tolist() == ["mine", "ecg"]
    assert found.extra["device"].tolist() == ["d", ""] and found.sex.tolist()[0] == "male"
    np.testing.assert_allclose(found.scores[0], bundle.probabilities(recording)[0], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = de.predict(bundle, folder / "ecg.hea", out=folder / "p.parquet")
    np.testing.assert_array_equal(read_predictions(folder / "p.parquet").scores, one.scores)
    split = de.open_split(folder / "data", "synthetic", "test")
    assert len(de.predict(bundle, split)) == len(split)
    for ecgs, more, words in (
        (split, {"site_profile": "x.json"}, "goes with recordings"),
        (recording, {"where": ["noise < 1"]}, "go with a split"),
        ([], {}, "no recording to predict"),
        ([flat], {}, "12 of 12 leads are flat"),
    ):
        with pytest.raises(UserError, match=words):
            de.predict(bundle, ecgs, **more)
