"""Calibration measures against brute-force definitions, on awkward random data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepecg_jax.evaluation.calibration.calibrate import calibrate
from deepecg_jax.evaluation.calibration.logistic import cox_recalibration, logit
from deepecg_jax.evaluation.calibration.measures import CALIBRATION_MEASURES, MURPHY, measures
from deepecg_jax.evaluation.calibration.sums import Layout, equal_width, mass_of_values
from deepecg_jax.evaluation.resampling import binned_sums
from deepecg_jax.evaluation.resampling.draws import Resampler


def brute_force(positive, scores, index, smooth):
    """The definitions, bin by bin."""
    y, n = positive.astype(float), len(positive)
    ece = reliability = resolution = variance = covariance = 0.0
    for b in set(index):
        own = index == b
        f, o = scores[own], y[own]
        ece += own.sum() / n * abs(f.mean() - o.mean())
        reliability += own.sum() / n * (f.mean() - o.mean()) ** 2
        resolution += own.sum() / n * (o.mean() - y.mean()) ** 2
        variance += ((f - f.mean()) ** 2).sum() / n
        covariance += 2 * ((f - f.mean()) * (o - o.mean())).sum() / n
    distance = np.abs(smooth - scores)
    return {
        "ece": ece,
        "brier": ((scores - y) ** 2).mean(),
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": y.mean() * (1 - y.mean()),
        "within_bin_variance": variance,
        "within_bin_covariance": covariance,
        "observed_expected_ratio": y.sum() / scores.sum(),
        "ici": distance.mean(),
        "emax": distance.max(),
        "e50": np.sort(distance)[int(np.ceil(0.5 * n)) - 1],
        "e90": np.sort(distance)[int(np.ceil(0.9 * n)) - 1],
    }


def equal_mass(scores):
    _, index, n = np.unique(scores, return_inverse=True, return_counts=True)
    return mass_of_values(n)[index]


def draw(seed, n, decimals, rate):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(0.7, 2, n), decimals) * 0.98 + 0.01
    return rng.random(n) < np.clip(rate * 3 * scores, 0, 1), scores


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 120),
    decimals=st.integers(1, 6),
    rate=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)
def test_measures_are_their_definitions(seed, n, decimals, rate):
    positive, scores = draw(seed, n, decimals, rate)
    layout = Layout(np.arange(n), positive, scores)
    sums = layout.sums(np.ones((1, n)))
    found = {name: value[0] for name, value in measures(layout.x, sums).items()}
    assert tuple(found) == CALIBRATION_MEASURES
    assert sums.smooth is not None
    smooth = np.interp(scores, layout.x, sums.smooth[0])
    expected = brute_force(positive, scores, equal_width(scores), smooth)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=2e-13), name
    by_mass = brute_force(positive, scores, equal_mass(scores), smooth)["ece"]
    assert found["ece_equal_mass"] == pytest.approx(by_mass, abs=1e-13)
    parts = [found[name] for name in MURPHY]
    total = parts[0] - parts[1] + parts[2] + parts[3] - parts[4]
    assert found["brier"] == pytest.approx(total, abs=1e-14)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), decimals=st.integers(1, 5))
def test_a_resample_equals_the_records_written_out(seed, decimals):
    positive, scores = draw(seed, 60, decimals, 0.3)
    times = np.random.default_rng(seed).integers(0, 4, 60)
    layout = Layout(np.arange(60), positive, scores)
    found = measures(layout.x, layout.sums(times[None]))
    rows = np.repeat(np.arange(60), times)
    expected = brute_force(positive[rows], scores[rows], equal_width(scores)[rows], 0.0)
    for name in ("ece", "brier", *MURPHY):
        assert found[name][0] == pytest.approx(expected[name], abs=1e-13), name


def test_blocks_of_records_change_nothing(monkeypatch):
    positive, scores = draw(5, 900, 3, 0.3)
    counts = np.random.default_rng(5).integers(0, 4, (6, 900))
    rows = np.random.default_rng(6).permutation(900)
    whole = Layout(rows, positive, scores).sums(counts)
    monkeypatch.setattr(binned_sums, "BLOCK", 64)
    cut = Layout(rows, positive, scores).sums(counts)
    for name in ("n", "positive", "score"):
        for bins in ("width", "mass"):
            a, b = (getattr(getattr(s, bins), name) for s in (whole, cut))
            np.testing.assert_allclose(a, b, rtol=1e-13)
    np.testing.assert_allclose(whole.squared, cut.squared, rtol=1e-13)
    np.testing.assert_allclose(whole.product, cut.product, rtol=1e-13)
    expected = [(c[rows] * scores**2).sum() for c in counts]
    np.testing.assert_allclose(whole.squared, expected, rtol=1e-12)


def test_bins_of_equal_mass_are_equal_and_keep_ties_together():
    scores = np.random.default_rng(0).random(100)
    assert np.bincount(equal_mass(scores)).tolist() == [10] * 10
    assert [equal_mass(np.sort(scores))[i] for i in (0, 9, 10, 99)] == [0, 0, 1, 9]
    tied = np.r_[np.full(55, 0.2), np.linspace(0.3, 0.9, 45)]
    index = equal_mass(tied)
    assert set(index[:55]) == {0}
    assert index[55] == 5 and index[-1] == 9


def test_slope_and_intercept_equal_statsmodels_with_clusters():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 150, 600)
    x = rng.normal(size=150)[patient] + 0.4 * rng.normal(size=600)
    positive = rng.random(600) < 1 / (1 + np.exp(-x + 1))
    scores = 1 / (1 + np.exp(-1.6 * x))
    found = cox_recalibration(positive, scores, patient)
    clusters = {"groups": patient, "use_correction": False, "df_correction": False}
    y, z = positive.astype(float), logit(scores)
    line = sm.GLM(y, sm.add_constant(z), family=sm.families.Binomial()).fit(
        tol=1e-12, cov_type="cluster", cov_kwds=clusters
    )
    assert found.slope == pytest.approx(line.params[1], rel=1e-8)
    assert found.slope_error == pytest.approx(line.bse[1], rel=1e-6)
    shift = sm.GLM(y, np.ones((600, 1)), family=sm.families.Binomial(), offset=z).fit(
        tol=1e-12, cov_type="cluster", cov_kwds=clusters
    )
    assert found.intercept == pytest.approx(shift.params[0], rel=1e-8)
    assert found.intercept_error == pytest.approx(shift.bse[0], rel=1e-6)


def test_intervals_follow_the_patients(predictions):
    names, labels, scores = predictions.names, predictions.labels, predictions.scores
    resampler = Resampler.of_patients(predictions.patient_id, 1)
    found = calibrate(labels, scores, names, resampler, 60)
    assert found == calibrate(labels, scores, names, resampler, 60)  # to the bit
    plain = calibrate(labels, scores, names)
    counts = resampler.counts(0, 60)
    for j, name in enumerate(names[:4]):
        part, own = found["findings"][name], labels[:, j] >= 0
        assert part["ece"] == plain["findings"][name]["ece"]
        errors = []
        for drawn in counts:
            rows = np.repeat(np.flatnonzero(own), drawn[own])
            p, s = labels[rows, j] == 1, scores[rows, j].astype(float)
            errors.append(brute_force(p, s, equal_width(s), 0.0)["ece"])
        low, high = np.percentile(errors, [2.5, 97.5])
        assert part["intervals"]["ece"]["low"] == pytest.approx(low, abs=1e-12)
        assert part["intervals"]["ece"]["high"] == pytest.approx(high, abs=1e-12)
        for b in part["bins"] + part["bins_equal_mass"]:
            assert b["positive_rate_low"] <= b["positive_rate_high"]
        assert all(point["low"] <= point["high"] for point in part["curve"])
        slope = part["intervals"]["slope"]
        assert slope["low"] < slope["value"] < slope["high"]
    never = found["findings"]["never"]
    assert never["slope"] is None and never["n_positive"] == 0
    assert found["macro"]["intervals"]["ici"]["value"] == pytest.approx(
        np.mean([found["findings"][n]["intervals"]["ici"]["value"] for n in names[:4]])
    )


def test_a_finding_without_labels():
    labels = np.array([[1, -1], [0, -1]], np.int8)
    found = calibrate(labels, np.full((2, 2), 0.5), ("a", "b"), Resampler.of_records(2, 0), 5)
    assert found["findings"]["b"]["n"] == 0
    assert found["findings"]["b"]["intervals"]["brier"]["value"] is None
    assert found["macro"]["intervals"]["brier"]["value"] == 0.25
