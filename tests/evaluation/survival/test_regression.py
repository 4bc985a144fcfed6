"""Hazard ratios and tests against statsmodels and scikit-survival, and what has no estimate."""

import numpy as np
import pytest
from survival_data import draw

pytest.importorskip("lifelines")

from deepecg_jax.evaluation.survival.regression import cox, log_rank, nested
from deepecg_jax.evaluation.survival.score_residuals import score_residuals


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


def test_clustered_errors_are_lifelines():
    """Without days on which two events fall together, every definition is the same."""
    lifelines = pytest.importorskip("lifelines")
    pd = pytest.importorskip("pandas")
    time, event, score, patient = draw(3, 300, whole_days=False)
    noise = np.random.default_rng(0).normal(size=300)
    found = cox(time, event, {"score": score, "noise": noise}, patient)
    frame = pd.DataFrame({"s": score, "n": noise, "t": time, "e": event == 1, "p": patient})
    fit = lifelines.CoxPHFitter().fit(frame, "t", "e", cluster_col="p")
    errors = np.sqrt(np.diag(found["covariance"]))
    np.testing.assert_allclose(errors, fit.standard_errors_, rtol=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_score_residuals_add_up_to_the_gradient(data, ties):
    phreg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    time, event, score, noise, _ = data
    design, beta = np.stack([score, noise], axis=1), np.array([0.3, -0.2])
    found = score_residuals(time, event == 1, design, beta, ties)
    model = phreg(time, design, status=event == 1, ties=ties)
    np.testing.assert_allclose(found.sum(axis=0), model.score(beta), rtol=1e-9, atol=1e-9)


def test_clustered_log_rank_does_not_count_a_patient_twice(data):
    time, event = data[:2]
    group, patient = np.random.default_rng(4).integers(0, 3, 400), np.arange(400)
    once = log_rank(time, event, group, patient)
    assert once["statistic_clustered"] == pytest.approx(once["statistic"], rel=0.2)
    twice = log_rank(*(np.repeat(x, 2) for x in (time, event, group, patient)))
    assert twice["statistic"] > 1.9 * once["statistic"]
    assert twice["statistic_clustered"] == pytest.approx(once["statistic_clustered"], rel=1e-9)
    assert log_rank(time, event, group)["p_clustered"] is None


@pytest.mark.slow
def test_clustered_log_rank_keeps_its_level_where_the_usual_one_does_not():
    """Four ECGs a patient with nearly one risk, groups by patient, no difference between them."""
    rejected = {"p": 0, "p_clustered": 0}
    studies = 300
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(60), 4)
        risk = np.exp(1.5 * rng.normal(size=60))[patient]
        onset, lost = rng.exponential(1000 / risk), rng.exponential(2000, 240)
        found = log_rank(np.minimum(onset, lost), (onset <= lost).astype(int), patient % 2, patient)
        for name in rejected:
            rejected[name] += found[name] < 0.05
    assert rejected["p"] / studies > 0.12
    # 99.9 % of the sampling error of a share of 300
    assert abs(rejected["p_clustered"] / studies - 0.05) < 3.29 * np.sqrt(0.05 * 0.95 / studies)


def adding(time, event, base, added, patient):
    large = cox(time, event, {**base, **added}, patient)
    return nested(cox(time, event, base, patient), large, list(added))


def test_likelihood_ratio_test(data):
    time, event, score, noise, patient = data
    useful = adding(time, event, {"noise": noise}, {"score": score}, None)
    useless = adding(time, event, {"score": score}, {"noise": noise}, patient)
    small = cox(time, event, {"noise": noise}, None)["log_likelihood"]
    large = cox(time, event, {"noise": noise, "score": score}, None)["log_likelihood"]
    assert useful["chi2"] == pytest.approx(2 * (large - small))
    assert useful["p_likelihood_ratio"] < 1e-6 < 0.01 < useless["p_likelihood_ratio"]
    assert useful["independent_records"] and not useless["independent_records"]
    assert useless["p_wald"] == pytest.approx(useless["hazard_ratios"]["noise"]["p"], rel=1e-9)
    assert useless["wald_errors"] == "clustered by patient"
    assert useful["wald_errors"] == "independent records"
    both = adding(time, event, {"noise": noise}, {"score": score, "square": score**2}, patient)
    assert both["df"] == 2 and both["wald_chi2"] > useful["wald_chi2"] * 0.3


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
