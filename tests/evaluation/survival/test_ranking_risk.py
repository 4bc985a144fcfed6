"""Concordance and AUROC by year against lifelines, scikit-survival and the pairs written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from survival_data import draw

from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.survival.concordance import Concordance
from deepecg_jax.evaluation.survival.discrimination import discriminate, years_within
from deepecg_jax.evaluation.survival.dynamic_auroc import DynamicAUROC
from deepecg_jax.evaluation.survival.incidence import (
    FollowUpDays,
    before,
    censoring_weights,
    life_table,
)


def pairs_written_out(time, event, score, weight):
    """(sum of weights of concordant pairs, of comparable pairs), the definition."""
    concordant = comparable = 0.0
    for i in np.flatnonzero(event == 1):
        outlast = (time > time[i]) | ((time == time[i]) & (event != 1))
        half = (score[outlast] < score[i]) + 0.5 * (score[outlast] == score[i])
        concordant += weight[i] * half.sum()
        comparable += weight[i] * outlast.sum()
    return concordant, comparable


def censoring_before(time, event, day):
    """P(uncensored just before a day), one day after another."""
    stays = 1.0
    for d in np.unique(time[time < day]):
        at_risk = (time >= d).sum() - ((time == d) & (event > 0)).sum()
        lost = ((time == d) & (event == 0)).sum()
        stays *= 1 - lost / at_risk if at_risk else 1.0
    return stays


def auroc_written_out(time, event, score, day):
    weight = np.array([1 / max(censoring_before(time, event, t), 1e-300) for t in time])
    case = (time <= day) & (event == 1)
    dead = (time <= day) & (event == 2)
    seen = (time > day) | ((time == day) & (event == 0))
    if not case.any() or not (dead | seen).any():
        return np.nan
    own = np.where(dead, weight, 1 / max(censoring_before(time, event, day), 1e-300))
    top = bottom = 0.0
    for i in np.flatnonzero(case):
        for j in np.flatnonzero(dead | seen):
            top += weight[i] * own[j] * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
            bottom += weight[i] * own[j]
    return top / bottom


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 40),
    censoring=st.sampled_from([0.1, 1, 10]),
    whole=st.booleans(),
)
def test_resamples_equal_the_pairs_written_out(seed, n, censoring, whole):
    time, event, score, _ = draw(seed, n, whole, censoring=censoring)
    times = np.random.default_rng(seed).integers(0, 3, n)
    counts = np.stack([np.ones(n), times], axis=1).astype(float)
    weights = censoring_weights(FollowUpDays(time, event), counts)
    horizon = 1800.0
    if not (event == 1).any():
        return
    concordance, dynamic = Concordance(time, event, score), DynamicAUROC(time, event, score)
    harrell, uno = concordance.both(counts, weights.of(concordance.cases), time, horizon)
    assert np.array_equal(harrell, concordance.harrell(counts), equal_nan=True)
    found = dynamic(horizon, counts, weights)
    for lane, rows in enumerate((np.arange(n), np.repeat(np.arange(n), times))):
        t, e, s = time[rows], event[rows], score[rows]
        top, bottom = pairs_written_out(t, e, s, np.ones(len(t)))
        expected = top / bottom if bottom else np.nan
        assert harrell[lane] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        squared = np.array([censoring_before(t, e, x) ** -2.0 * (x < horizon) for x in t])
        top, bottom = pairs_written_out(t, e, s, squared)
        expected = top / bottom if bottom else np.nan
        assert uno[lane] == pytest.approx(expected, abs=1e-11, nan_ok=True)
        expected = auroc_written_out(t, e, s, horizon)
        assert found[lane] == pytest.approx(expected, abs=1e-11, nan_ok=True)


def test_harrell_is_lifelines():
    utils = pytest.importorskip("lifelines.utils")
    for seed, whole in ((0, True), (1, False)):
        time, event, score, _ = draw(seed, 500, whole)
        found = Concordance(time, event, score).harrell(np.ones((500, 1)))[0]
        expected = utils.concordance_index(time, -score, event == 1)
        assert found == pytest.approx(expected, abs=1e-12)


def test_uno_and_auroc_are_scikit_survivals():
    metrics = pytest.importorskip("sksurv.metrics")
    time, event, score, _ = draw(3, 600, whole_days=False, competing=False)
    score = np.round(score, 1)
    outcome = np.array(list(zip(event == 1, time, strict=True)), dtype=[("e", bool), ("t", float)])
    counts = np.ones((600, 1))
    weights = censoring_weights(FollowUpDays(time, event), counts)
    concordance = Concordance(time, event, score)
    harrell, uno = concordance.both(counts, weights.of(concordance.cases), time, 1825.0)
    expected = metrics.concordance_index_ipcw(outcome, outcome, score, tau=1825.0)[0]
    assert uno[0] == pytest.approx(expected, abs=1e-10)
    expected = metrics.concordance_index_censored(event == 1, time, score)[0]
    assert harrell[0] == pytest.approx(expected, abs=1e-12)
    days = np.array([365.0, 730, 1095, 1460, 1825])
    expected = metrics.cumulative_dynamic_auc(outcome, outcome, score, days)[0]
    dynamic = DynamicAUROC(time, event, score)
    found = [dynamic(day, counts, weights)[0] for day in days]
    assert found == pytest.approx(expected.tolist(), abs=1e-12)


def test_tied_days_are_scikit_survivals_with_censorings_an_instant_later():
    metrics = pytest.importorskip("sksurv.metrics")
    time, event, score, _ = draw(4, 500, competing=False)
    parted = time + np.where(event == 1, 0.0, 0.5)
    outcome = np.array(
        list(zip(event == 1, parted, strict=True)), dtype=[("e", bool), ("t", float)]
    )
    counts = np.ones((500, 1))
    weights = censoring_weights(FollowUpDays(time, event), counts)
    expected = metrics.cumulative_dynamic_auc(outcome, outcome, score, [600.0, 1200.0])[0]
    dynamic = DynamicAUROC(time, event, score)
    assert [dynamic(d, counts, weights)[0] for d in (600.0, 1200.0)] == pytest.approx(
        expected.tolist(), abs=1e-12
    )
    concordance = Concordance(time, event, score)
    uno = concordance.both(counts, weights.of(concordance.cases), time, 1200.0)[1][0]
    expected = metrics.concordance_index_ipcw(outcome, outcome, score, tau=1200.0)[0]
    assert uno == pytest.approx(expected, abs=1e-10)


def test_without_censoring_every_measure_is_the_plain_auroc():
    rng = np.random.default_rng(5)
    score = np.round(rng.normal(size=400), 1)
    ill = rng.random(400) < 1 / (1 + np.exp(1 - score))
    time = np.where(ill, rng.integers(1, 1825, 400), 1825).astype(float)
    expected = roc_auc_score(ill, score)
    resampler = Resampler.of_records(400, 0)
    found = discriminate(time, ill.astype(int), {"s": score}, 5, resampler, 3)["s"]
    assert found["event_auroc"][0] == pytest.approx(expected, abs=1e-12)
    assert found["auroc_5"][0] == pytest.approx(expected, abs=1e-12)
    for r, counts in enumerate(resampler.counts(0, 3)):
        assert found["event_auroc"][1 + r] == pytest.approx(
            roc_auc_score(ill, score, sample_weight=counts), abs=1e-12
        )


def test_weighting_recovers_the_uncensored_auroc_that_dropping_loses():
    """Who is at high risk is lost earlier: leaving the lost out would bias, weighting does not."""
    rng = np.random.default_rng(6)
    score = rng.integers(0, 2, 40_000).astype(float)
    onset = rng.exponential(np.where(score == 1, 2000, 6000))
    lost = rng.exponential(2500, 40_000)
    truth = roc_auc_score(onset <= 1825, score)
    time, event = np.minimum(onset, lost), (onset <= lost).astype(int)
    counts = np.ones((40_000, 1))
    weights = censoring_weights(FollowUpDays(time, event), counts)
    found = DynamicAUROC(time, event, score)(1825.0, counts, weights)[0]
    assert found == pytest.approx(truth, abs=0.01)


def test_years_and_curves_before():
    assert years_within(5) == [1, 2, 3, 4, 5]
    assert years_within(2.5) == [1, 2, 2.5]
    assert years_within(0.5) == [0.5]
    table = life_table(np.array([1.0, 2]), np.array([1, 1]), np.ones((2, 1)))
    assert before(table.survival)[:, 0].tolist() == [1.0, 0.5]
