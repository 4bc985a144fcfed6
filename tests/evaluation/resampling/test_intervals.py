"""BCa against SciPy, the jackknife, strata, and what a sweep's rows are."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.draws import JACKKNIFE_GROUPS, Resampler, Sweep
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.resampling.resampling import Resampling


def test_bca_equals_scipy_on_the_same_resamples():
    rng = np.random.default_rng(0)
    data = rng.exponential(size=40)
    sweep = Sweep(Resampler.of_records(40, 1), 800, with_jackknife=True)
    counts = sweep.counts(0, sweep.rows)
    assert counts.shape == (1 + 800 + 40, 40)
    values = (counts * data).sum(axis=1) / counts.sum(axis=1)
    found = interval(values, sweep.jackknife_rows)
    mine = stats.bootstrap((data,), np.mean, n_resamples=2, method="percentile")
    mine.bootstrap_distribution = values[1:801]
    expected = stats.bootstrap(
        (data,), np.mean, n_resamples=0, bootstrap_result=mine, method="BCa"
    ).confidence_interval
    assert [found["low"], found["high"]] == pytest.approx(list(expected), abs=1e-12)
    assert found["low"] > np.percentile(values[1:801], 2.5)


def test_a_bca_interval_without_correction_says_that_it_is_a_percentile_interval():
    values = np.r_[1.0, np.linspace(0.5, 0.9, 50), np.full(5, 0.9)]
    found = interval(values, 5)
    assert found["interval"] == "percentile"
    expected = list(np.percentile(values[1:51], [2.5, 97.5]))
    assert [found["low"], found["high"]] == pytest.approx(expected)
    constant = interval(np.ones(56), 5)
    assert (constant["low"], constant["high"]) == (1.0, 1.0)


def test_leaving_out_every_patient_is_exact_for_every_metric(predictions):
    p = predictions
    sweep = Sweep(Resampler.of_patients(p.patient_id, 0), 1, with_jackknife=True)
    swept = bootstrap(p.labels, p.scores, np.full(5, 0.5), sweep, {"": range(5)}, {})
    ids = np.unique(p.patient_id.astype(str))
    assert sweep.jackknife_rows == len(ids) < JACKKNIFE_GROUPS
    for i in (0, 17, len(ids) - 1):
        keep = (p.patient_id != ids[i]) & (p.labels[:, 0] >= 0)
        y, s = p.labels[keep, 0], p.scores[keep, 0]
        assert swept.findings.auroc[2 + i, 0] == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        expected = average_precision_score(y, s)
        assert swept.findings.auprc[2 + i, 0] == pytest.approx(expected, abs=1e-12)


def test_many_patients_are_left_out_in_groups_and_the_acceleration_stays():
    rng = np.random.default_rng(5)
    data = rng.exponential(size=20_000)
    resampler = Resampler.of_records(len(data), 0)
    assert resampler.jackknife_rows == JACKKNIFE_GROUPS
    counts = resampler.jackknife(0, JACKKNIFE_GROUPS)
    assert set((1 - counts.astype(int)).sum(axis=0)) == {1}
    assert set((1 - counts.astype(int)).sum(axis=1)) <= {39, 40}
    means = (counts * data).sum(axis=1) / counts.sum(axis=1)
    spread = means.mean() - means
    grouped = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    exact = stats.skew(data) / (6 * np.sqrt(len(data)))
    assert grouped == pytest.approx(exact, abs=3 * np.sqrt(6 / 512) / (6 * np.sqrt(512)))


def test_bca_through_evaluate(predictions):
    plain = evaluate(predictions, None, Resampling(60))
    bca = evaluate(predictions, None, Resampling(60, interval="bca"))
    assert bca["interval"] == "bca"
    for metric in ("auroc", "auprc", "f1", "brier"):
        a, b = plain["macro"][metric], bca["macro"][metric]
        assert a["value"] == pytest.approx(b["value"], abs=1e-15)
        assert (a["low"], a["high"]) != (b["low"], b["high"])
        assert b["low"] <= b["value"] <= b["high"]
    assert plain["macro"]["auroc"]["incomplete"] == bca["macro"]["auroc"]["incomplete"]
    a, b = (m["fairness"]["sex"]["tpr_difference"] for m in (plain, bca))
    assert a["value"] == b["value"]
    assert a["low"] != b["low"]
    with pytest.raises(UserError, match="use percentile or bca"):
        Resampling(2, interval="t")  # pyright: ignore


def test_strata_keep_their_number_of_patients():
    patient = np.array(list("aabbccddee"), dtype=object)
    site = np.array(list("xxxyyyyyzz"), dtype=object)
    resampler, about = Resampler.of_patients(patient, 0).stratified(site)
    # b has one record in each of x and y, and goes to x, the first
    assert about == {"clusters": {"x": 2, "y": 2, "z": 1}, "in_several": 1}
    counts = resampler.counts(0, 300).astype(int)
    per_patient = counts[:, ::2]
    assert (per_patient[:, :2].sum(axis=1) == 2).all()
    assert (per_patient[:, 2:4].sum(axis=1) == 2).all()
    assert (per_patient[:, 4] == 1).all()
    assert per_patient[:, 0].var() == pytest.approx(0.5, abs=0.1)


def test_one_stratum_draws_what_no_stratum_draws():
    plain = Resampler.of_records(30, 2)
    same, _ = plain.stratified(np.full(30, "all"))
    np.testing.assert_array_equal(plain.counts(0, 5), same.counts(0, 5))


def test_stratify_through_evaluate(predictions):
    found = evaluate(predictions, None, Resampling(20, stratify="sex"))
    strata = found["stratify"]
    assert strata["column"] == "sex"
    assert sum(strata["clusters"].values()) == found["n_patients"]
    assert found["macro"]["auroc"] != evaluate(predictions, None, Resampling(20))["macro"]["auroc"]
    with pytest.raises(UserError, match="no column 'hospital'"):
        evaluate(predictions, None, Resampling(2, stratify="hospital"))
    with pytest.raises(UserError, match="which is what is drawn"):
        evaluate(predictions, None, Resampling(2, stratify="patient_id"))
