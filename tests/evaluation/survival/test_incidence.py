"""Life tables against lifelines, and resamples against records written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from survival_data import draw

from deepecg_jax.evaluation.survival.incidence import FollowUpDays, censoring_weights, life_table


@pytest.mark.parametrize("censoring", [0.3, 1.0, 20.0])
def test_kaplan_meier_is_lifelines(censoring):
    lifelines = pytest.importorskip("lifelines")
    time, event, _, _ = draw(0, 400, competing=False, censoring=censoring)
    table = life_table(time, event, np.ones((400, 1)))
    fit = lifelines.KaplanMeierFitter().fit(time, event == 1)
    expected = fit.survival_function_at_times(table.days).to_numpy()
    assert np.abs(table.survival[:, 0] - expected).max() < 1e-12
    assert np.abs(1 - table.incidence[:, 0] - expected).max() < 1e-12
    for day in (0.0, 59.0, 60.0, min(1000.0, table.days[-1])):
        assert table.at(table.survival, day, 1.0)[0] == pytest.approx(fit.predict(day), abs=1e-12)


def test_cumulative_incidence_is_lifelines():
    lifelines = pytest.importorskip("lifelines")
    time, event, _, _ = draw(1, 500, whole_days=False)
    table = life_table(time, event, np.ones((500, 1)))
    fit = lifelines.AalenJohansenFitter(calculate_variance=False).fit(time, event, 1)
    expected = fit.cumulative_density_.iloc[:, 0]
    found = np.interp(expected.index, np.r_[0, table.days], np.r_[0, table.incidence[:, 0]])
    assert np.abs(found - expected.to_numpy()).max() < 1e-12


def brute_incidence(time, event):
    """One day after another, written out."""
    free, total, curve = 1.0, 0.0, []
    for day in np.unique(time):
        at_risk = (time >= day).sum()
        total += free * ((time == day) & (event == 1)).sum() / at_risk
        free *= 1 - ((time == day) & (event > 0)).sum() / at_risk
        curve.append(total)
    return np.array(curve)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 60), censoring=st.sampled_from([0.1, 1, 30]))
def test_a_resample_equals_the_records_written_out(seed, n, censoring):
    time, event, _, _ = draw(seed, n, censoring=censoring)
    times = np.random.default_rng(seed).integers(0, 4, n)
    rows = np.repeat(np.arange(n), times)
    table = life_table(time, event, np.stack([np.ones(n), times], axis=1).astype(float))
    assert table.incidence[:, 0] == pytest.approx(brute_incidence(time, event), abs=1e-13)
    assert table.at_risk[0].tolist() == [n, times.sum()]
    if len(rows):
        drawn = np.isin(table.days, time[rows])
        expected = brute_incidence(time[rows], event[rows])
        assert table.incidence[drawn, 1] == pytest.approx(expected, abs=1e-13)
        assert np.isfinite(table.incidence).all()


def test_weights_are_sksurvs_where_days_do_not_tie():
    sksurv = pytest.importorskip("sksurv.nonparametric")
    time, event, _, _ = draw(2, 300, whole_days=False, competing=False)
    outcome = np.array(list(zip(event == 1, time, strict=True)), dtype=[("e", bool), ("t", float)])
    expected = sksurv.CensoringDistributionEstimator().fit(outcome).predict_ipcw(outcome)
    found = censoring_weights(FollowUpDays(time, event), np.ones((300, 1))).of(np.arange(300))[:, 0]
    happened = event == 1
    assert found[happened] == pytest.approx(expected[happened], rel=1e-12)


def test_weights_with_ties_take_events_before_censorings():
    """Four leave on day 5, one by an event; the event's weight knows nothing of that day's."""
    time, event = np.array([3.0, 5, 5, 5, 5, 9]), np.array([0, 1, 0, 0, 0, 1])
    weights = censoring_weights(FollowUpDays(time, event), np.ones((6, 1)))
    # day 3: one of six is censored; day 5: three of the four left after the event
    found = weights.of(np.arange(6))[:, 0]
    assert found == pytest.approx([1, 6 / 5, 6 / 5, 6 / 5, 6 / 5, 6 / 5 * 4])
    assert weights.at(5.0)[0] == pytest.approx(6 / 5)
    assert weights.at(5.5)[0] == pytest.approx(6 / 5 * 4)


def test_nothing_is_said_beyond_the_last_day_observed():
    table = life_table(np.array([10.0, 20, 30]), np.array([1, 0, 0]), np.ones((3, 1)))
    assert table.at(table.incidence, 30, 0.0)[0] == pytest.approx(1 / 3)
    assert np.isnan(table.at(table.incidence, 31, 0.0)[0])
    everybody = life_table(np.array([10.0, 20]), np.array([1, 2]), np.ones((2, 1)))
    assert everybody.at(everybody.incidence, 99, 0.0)[0] == pytest.approx(0.5)
