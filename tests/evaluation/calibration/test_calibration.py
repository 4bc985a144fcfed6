"""Calibration measures against their definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from deepecg_jax.evaluation.calibration.calibrate import calibrate
from deepecg_jax.evaluation.calibration.logistic import cox_recalibration


def one_finding(positive, scores):
    labels = np.asarray(positive)[:, None].astype(np.int8)
    return calibrate(labels, np.asarray(scores)[:, None], ["a"])["findings"]["a"]


@pytest.fixture
def data():
    rng = np.random.default_rng(4)
    p = rng.beta(1, 3, 4000)
    positive = rng.random(4000) < p
    logit = np.log(p) - np.log1p(-p)
    return positive, 1 / (1 + np.exp(-(2 * logit + 0.5)))


def test_bins_equal_scikit_learn_and_the_error_its_definition(data):
    positive, scores = data
    found = one_finding(positive, scores)
    rate, mean = calibration_curve(positive, scores, n_bins=10)
    assert [b["positive_rate"] for b in found["bins"]] == pytest.approx(list(rate))
    assert [b["mean_score"] for b in found["bins"]] == pytest.approx(list(mean))
    n = np.array([b["n"] for b in found["bins"]])
    assert n.sum() == 4000
    assert found["ece"] == pytest.approx((n * np.abs(rate - mean)).sum() / 4000)


def test_scores_of_exactly_zero_and_one_have_a_bin():
    found = one_finding(np.array([False, True]), np.array([0.0, 1.0]))
    assert [(b["low"], b["n"]) for b in found["bins"]] == [(0.0, 1), (0.9, 1)]
    assert found["ece"] == 0.0


def test_slope_equals_an_unpenalised_logistic_regression(data):
    positive, scores = data
    logit = (np.log(scores) - np.log1p(-scores))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit, positive)
    slope, intercept, *_ = cox_recalibration(positive, scores)
    assert slope == pytest.approx(fit.coef_[0, 0], abs=1e-5)
    assert slope == pytest.approx(0.5, abs=0.05)
    shifted = 1 / (1 + np.exp(-(logit[:, 0] + intercept)))
    assert shifted.mean() == pytest.approx(positive.mean(), abs=1e-9)


def test_no_estimate_where_there_is_none():
    assert cox_recalibration(np.array([True, True]), np.array([0.5, 0.6]))[:2] == (None, None)
    slope, intercept, *_ = cox_recalibration(np.array([False, True]), np.array([0.4, 0.9]))
    assert slope is None
    assert intercept is not None
    assert cox_recalibration(np.array([False, True]), np.array([0.3, 0.3]))[0] is None


def test_all_findings(predictions):
    found = calibrate(predictions.labels, predictions.scores, predictions.names)
    assert list(found["findings"]) == list(predictions.names)
    eces = [found["findings"][name]["ece"] for name in predictions.names[:4]]
    assert found["macro"]["ece"] == pytest.approx(np.mean(eces))
    assert sum(b["n"] for b in found["micro"]["bins"]) == (predictions.labels >= 0).sum()
