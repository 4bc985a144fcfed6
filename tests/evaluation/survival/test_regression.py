"""Hazard ratios and tests against statsmodels and scikit-survival, and what has no estimate."""

import numpy as np
import pytest
from survival_data import draw

pytest.importorskip("lifelines")

from deepecg_jax.evaluation.survival.regression import adding, cox, log_rank  # noqa: E402


@pytest.fixture(scope="module")
def data():
    time, event, score, patient = draw(8, 400)
    return time, event, score, np.random.default_rng(1).normal(size=400), patient


def test_hazard_ratios_are_statsmodels(data):
    phreg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    time, event, score, noise, patient = data
    found = cox(time, event, {"score": score, "noise": noise}, None)
    design = np.stack([score, noise], axis=1)
    model = phreg(time, design, status=event == 1, ties="efron")
    fit = model.fit(disp=False)
    for j, name in enumerate(("score", "noise")):
        assert np.log(found["covariates"][name]["hazard_ratio"]) == pytest.approx(
            fit.params[j], abs=1e-6
        )
        assert found["covariates"][name]["p"] == pytest.approx(fit.pvalues[j], rel=1e-4)
    assert found["log_likelihood"] == pytest.approx(model.loglike(fit.params), abs=1e-6)
    assert found["errors"] == "independent records"
    assert found["n_events"] == (event == 1).sum()


def test_errors_are_clustered_by_patient(data):
    """Every record twice: the naive interval shrinks by sqrt(2), the clustered one stays."""
    time, event, score, _, _ = data
    once = cox(time, event, {"score": score}, np.arange(400))
    twice = [np.repeat(x, 2) for x in (time, event, score, np.arange(400))]
    clustered = cox(twice[0], twice[1], {"score": twice[2]}, twice[3])
    naive = cox(twice[0], twice[1], {"score": twice[2]}, None)

    def width(fit):
        part = fit["covariates"]["score"]
        return np.log(part["high"] / part["low"])

    assert clustered["errors"] == "clustered by patient"
    # Efron's handling of the doubled ties moves both a little
    assert width(clustered) == pytest.approx(width(once), rel=0.1)
    assert width(naive) == pytest.approx(width(once) / np.sqrt(2), rel=0.05)


def test_likelihood_ratio_test(data):
    time, event, score, noise, patient = data
    useful = adding(time, event, {"noise": noise}, {"score": score}, None)
    useless = adding(time, event, {"score": score}, {"noise": noise}, patient)
    small = cox(time, event, {"noise": noise}, None)["log_likelihood"]
    large = cox(time, event, {"noise": noise, "score": score}, None)["log_likelihood"]
    assert useful["chi2"] == pytest.approx(2 * (large - small))
    assert useful["p_likelihood_ratio"] < 1e-6 < 0.01 < useless["p_likelihood_ratio"]
    assert useful["independent_records"] and not useless["independent_records"]
    assert useless["p_wald"] == useless["hazard_ratios"]["noise"]["p"]


def test_log_rank_is_scikit_survivals(data):
    compare = pytest.importorskip("sksurv.compare").compare_survival
    time, event, score, _, _ = data
    group = np.digitize(score, [-0.5, 0.5])
    outcome = np.array(list(zip(event == 1, time, strict=True)), dtype=[("e", bool), ("t", float)])
    statistic, p = compare(outcome, group)
    found = log_rank(time, event, group)
    assert found["statistic"] == pytest.approx(statistic, rel=1e-8)
    assert found["p"] == pytest.approx(p, rel=1e-6) and found["df"] == 2
    assert log_rank(time, event, np.zeros(400))["p"] is None


def test_what_has_no_estimate_says_why(data):
    time, event, score, _, _ = data
    same = cox(time, event, {"score": np.ones(400)}, None)
    assert same == {"reason": "score is the same in every ECG"}
    safe = ((event != 1) & (score < 0)).astype(float)
    assert cox(time, event, {"safe": safe}, None)["reason"] == "no event where safe is 1"
    assert "same in every" in adding(time, event, {"a": score}, {"b": 0 * score}, None)["reason"]
    # perfectly ordered: the coefficient runs away
    apart = cox(np.arange(1.0, 41), np.ones(40), {"score": -np.arange(40.0)}, None)
    assert "did not converge" in apart["reason"]
