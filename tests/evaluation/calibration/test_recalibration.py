"""Recalibration against scikit-learn and statsmodels; files and refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.logistic import expit, logit
from deepecg_jax.evaluation.calibration.recalibration import (
    fit_recalibration,
    recalibrate,
    unfitted,
)
from deepecg_jax.evaluation.calibration.recalibration_file import (
    read_recalibration,
    recalibrate_file,
    write_recalibration,
)
from deepecg_jax.evaluation.table.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    p = np.round(rng.beta(1, 3, 3000), 3)
    positive = rng.random(3000) < p
    return positive, expit(1.9 * logit(np.clip(p, 0.01, 0.99)) + 0.3)


def fit(positive, scores, method):
    return fit_recalibration(positive[:, None].astype(int), scores[:, None], ["a"], method)


def apply(fitted, scores):
    return recalibrate(fitted, scores[:, None], ["a"])[:, 0]


def test_platt_and_temperature_are_unpenalised_logistic_regressions(data):
    positive, scores = data
    x = logit(scores)[:, None]
    for method, intercept in (("platt", True), ("temperature", False)):
        model = LogisticRegression(C=np.inf, fit_intercept=intercept, tol=1e-12, max_iter=10_000)
        model.fit(x, positive)
        fitted = fit(positive, scores, method)
        found = fitted["findings"]["a"]
        slope = found["slope"] if intercept else 1 / found["temperature"]
        assert slope == pytest.approx(model.coef_[0, 0], rel=1e-6)
        expected = model.predict_proba(x)[:, 1]
        assert np.abs(apply(fitted, scores) - expected).max() < 1e-6


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 80), decimals=st.integers(1, 8))
def test_isotonic_is_scikit_learns(seed, n, decimals):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), decimals)
    positive = rng.random(n) < scores
    if positive.all() or not positive.any():
        positive[0] = not positive[0]
    fitted = fit(positive, scores, "isotonic")
    model = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(scores, positive)
    elsewhere = np.r_[scores, np.linspace(0, 1, 57)]
    assert np.abs(apply(fitted, elsewhere) - model.predict(elsewhere)).max() < 1e-12


def test_recalibrated_scores_are_calibrated(data):
    from deepecg_jax.evaluation.calibration.calibrate import calibrate

    positive, scores = data
    labels = positive[:, None].astype(np.int8)
    before = calibrate(labels, scores[:, None], ["a"])["findings"]["a"]["intervals"]["ici"]
    for method in ("platt", "isotonic"):
        mapped = recalibrate(fit(positive, scores, method), scores[:, None], ["a"])
        after = calibrate(labels, mapped, ["a"])["findings"]["a"]
        assert after["intervals"]["ici"]["value"] < before["value"] / 3
        assert after["intervals"]["observed_expected_ratio"]["value"] == pytest.approx(1, abs=1e-6)


def test_what_cannot_be_fitted_keeps_its_scores_and_says_why():
    labels = np.array([[1, 0, -1, 1, 0], [1, 0, -1, 0, 1], [1, 0, -1, 0, 1], [1, 0, -1, 1, 0]])
    scores = np.array(
        [
            [0.2, 0.3, 0.4, 0.9, 0.9],
            [0.6, 0.1, 0.2, 0.1, 0.1],
            [0.3, 0.5, 0.1, 0.2, 0.2],
            [0.9, 0.5, 0.3, 0.8, 0.8],
        ]
    )
    names = ["all", "none", "unknown", "apart", "backwards"]
    for method in ("temperature", "platt"):
        fitted = fit_recalibration(labels, scores, names, method)
        reasons = unfitted(fitted)
        assert set(reasons) == set(names[:4]) | ({names[4]})
        assert "no negative" in reasons["all"] and "no positive" in reasons["none"]
        assert "separate" in reasons["apart"]
        assert recalibrate(fitted, scores, names) == pytest.approx(scores)
    assert set(unfitted(fit_recalibration(labels, scores, names, "isotonic"))) == set(names[:3])


def test_file_round_trip_is_exact(data, tmp_path):
    positive, scores = data
    for method in ("temperature", "platt", "isotonic"):
        fitted = fit(positive, scores, method)
        write_recalibration(tmp_path / "c.json", fitted)
        assert read_recalibration(tmp_path / "c.json") == fitted
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "must hold a JSON object"),
        ("{", "is no JSON"),
        ({"schema": 9, "findings": {}}, "schema is 9"),
        ({"schema": 1, "findings": {"a": {"method": "magic"}}}, "'magic'"),
        ({"schema": 1, "findings": {"a": {"method": "platt", "slope": 1}}}, "'intercept'"),
        ({"schema": 1, "findings": {"a": {"method": "temperature", "temperature": 0}}}, "above 0"),
        (
            {"schema": 1, "findings": {"a": {"method": "isotonic", "x": [0, 0], "y": [0, 1]}}},
            "rise",
        ),
        (
            {"schema": 1, "findings": {"a": {"method": "isotonic", "x": [0, 1], "y": [0, 2]}}},
            "0..1",
        ),
        ({"schema": 1, "findings": {"a": {"method": "isotonic", "x": 3, "y": 1}}}, "rise"),
    ],
)
def test_damaged_files_are_refused(content, words, tmp_path):
    if isinstance(content, dict) and "method" in content:
        content = {"schema": 1, "findings": {"a": content}}
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        read_recalibration(tmp_path / "c.json")


def test_other_columns_of_a_predictions_file_stay(data, tmp_path):
    positive, scores = data[0][:50], data[1][:50]
    source, target = tmp_path / "p.parquet", tmp_path / "q.parquet"
    labels = np.where(np.arange(50) < 5, -1, positive)[:, None]
    write_predictions(
        source,
        Predictions(
            names=["a"],
            labels=labels,
            scores=scores[:, None].astype(np.float32),
            record_id=[f"r{i}" for i in range(50)],
            patient_id=["p"] * 50,
            age=[60] * 50,
            sex=["female"] * 50,
            extra={"site": ["x"] * 50},
        ),
    )
    recalibrate_file(fit(*data, "platt"), source, target)
    before, after = pq.read_table(source), pq.read_table(target)
    assert before.schema.equals(after.schema)
    assert before.drop(["score:a"]).equals(after.drop(["score:a"]))
    expected = apply(fit(*data, "platt"), scores.astype(np.float32))
    assert read_predictions(target).scores[:, 0] == pytest.approx(expected)
    with pytest.raises(UserError, match="no mapping for 'a'"):
        recalibrate_file({"findings": {"b": {}}}, source, target)
