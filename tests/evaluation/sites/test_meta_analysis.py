"""Random effects against statsmodels, a direct search, and a published example by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.sites.meta_analysis import random_effects

# tuberculosis yes and no with the BCG vaccine, yes and no without: 13 trials (Colditz et al., JAMA
# 271, 1994), the worked example of R's metafor
TRIALS = np.array(
    [
        [4, 119, 11, 128],
        [6, 300, 29, 274],
        [3, 228, 11, 209],
        [62, 13536, 248, 12619],
        [33, 5036, 47, 5761],
        [180, 1361, 372, 1079],
        [8, 2537, 10, 619],
        [505, 87886, 499, 87892],
        [29, 7470, 45, 7232],
        [17, 1699, 65, 1600],
        [186, 50448, 141, 27197],
        [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ]
)


def test_published_example():
    """Log risk ratios: REML mean -0.7145, tau2 0.3132, Q 152.2330 on 12 degrees of freedom."""
    a, b, c, d = TRIALS.T
    effects = np.log(a / (a + b)) - np.log(c / (c + d))
    variances = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    found = random_effects(effects, variances)
    assert found["effect"] == pytest.approx(-0.7145, abs=5e-5)
    assert found["tau2"] == pytest.approx(0.3132, abs=5e-5)
    assert found["q"] == pytest.approx(152.2330, abs=5e-5)
    assert found["i2"] == pytest.approx((152.2330 - 12) / 152.2330, abs=1e-6)
    normal = random_effects(effects, variances, hartung_knapp=False)
    assert normal["se"] == pytest.approx(0.1798, abs=5e-5)
    assert (normal["low"], normal["high"]) == pytest.approx((-1.0669, -0.3622), abs=5e-5)
    laird = random_effects(effects, variances, "dersimonian_laird")
    assert laird["tau2"] == pytest.approx(0.3088, abs=5e-5)


def test_by_hand():
    """Two effects 0 and 2 of variance 1: Q = 2, DerSimonian-Laird tau2 = (2 - 1) / (2 - 1) = 1."""
    found = random_effects(np.array([0.0, 2.0]), np.ones(2), "dersimonian_laird")
    assert (found["effect"], found["q"], found["tau2"], found["i2"]) == (1.0, 2.0, 1.0, 0.5)
    # Hartung-Knapp: sum w (y - 1)^2 / ((2 - 1) sum w) = 1, t_1 = 12.706
    assert found["se"] == pytest.approx(1.0)
    assert found["high"] == pytest.approx(1 + 12.7062, abs=1e-3)
    assert found["prediction_high"] is None
    # a third effect 1: tau2 stays (2 - 2) / 2 = 0, and t_1 with sqrt(0 + 1/3)
    three = random_effects(np.array([0.0, 2.0, 1.0]), np.ones(3), "dersimonian_laird")
    assert three["tau2"] == 0.0
    assert three["prediction_high"] == pytest.approx(1 + 12.7062 * np.sqrt(1 / 3), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(2, 15), spread=st.sampled_from([0.0, 0.3, 2]))
def test_against_statsmodels_and_a_direct_search(seed, k, spread):
    combine = pytest.importorskip("statsmodels.stats.meta_analysis").combine_effects
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.5, k)
    y = 1 + spread * rng.normal(size=k) + np.sqrt(v) * rng.normal(size=k)
    for ours, theirs in (("paule_mandel", "iterated"), ("dersimonian_laird", "chi2")):
        found = random_effects(y, v, ours)
        # statsmodels does not cut tau2 at 0, and takes the root of what is then negative
        options = {"atol": 1e-9, "maxiter": 500} if theirs == "iterated" else {}
        with np.errstate(invalid="ignore"):
            expected = combine(y, v, method_re=theirs, use_t=True, **options)
        if ours == "paule_mandel":  # its definition: Q with the weights 1 / (v + tau2) is K - 1
            w = 1 / (v + found["tau2"])
            q = (w * (y - (w * y).sum() / w.sum()) ** 2).sum()
            assert q == pytest.approx(k - 1, abs=1e-8) or (found["tau2"] == 0 and q < k - 1)
        else:
            assert found["tau2"] == pytest.approx(max(0.0, expected.tau2), abs=1e-12)
        # statsmodels' iteration gives 0 when rounding carries it past the root
        if expected.tau2 > 0:
            assert found["tau2"] == pytest.approx(expected.tau2, abs=1e-8)
            assert found["effect"] == pytest.approx(expected.mean_effect_re, abs=1e-8)
            assert found["se"] == pytest.approx(expected.sd_eff_w_re_hksj, abs=1e-8)
        assert found["q"] == pytest.approx(expected.q, abs=1e-9)
    tau2 = random_effects(y, v)["tau2"]

    def lost(x):
        w = 1 / (v + x)
        mean = (w * y).sum() / w.sum()
        return -0.5 * np.log(w).sum() + 0.5 * np.log(w.sum()) + 0.5 * (w * (y - mean) ** 2).sum()

    best = minimize_scalar(lost, bounds=(0, 50), method="bounded", options={"xatol": 1e-12})
    assert lost(tau2) <= min(best.fun, lost(0.0)) + 1e-9


def test_one_study_and_equal_studies():
    one = random_effects(np.array([0.5]), np.array([0.04]))
    assert one["prediction_low"] is None and one["tau2"] is None
    assert one["high"] == pytest.approx(0.5 + 1.959964 * 0.2)
    same = random_effects(np.full(4, 0.5), np.full(4, 0.1))
    assert same["tau2"] == 0 and same["i2"] == 0 and same["weights"] == pytest.approx([0.25] * 4)
    assert same["q_p"] == 1.0


def test_intervals_cover():
    """95 % Hartung-Knapp and prediction intervals of 8 clearly different sites."""
    rng = np.random.default_rng(0)
    mean = predicted = 0
    for _ in range(400):
        v = rng.uniform(0.02, 0.2, 8)
        y = 1 + rng.normal(size=8) + np.sqrt(v) * rng.normal(size=8)
        found = random_effects(y, v)
        mean += found["low"] <= 1 <= found["high"]
        predicted += found["prediction_low"] <= 1 + rng.normal() <= found["prediction_high"]
    assert mean / 400 == pytest.approx(0.95, abs=0.035)
    assert predicted / 400 == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(
    ("effects", "variances", "words"),
    [([], [], "one length"), ([1.0], [0.0], "positive"), ([np.nan, 1], [1, 1], "finite")],
)
def test_refusals(effects, variances, words):
    with pytest.raises(UserError, match=words):
        random_effects(np.array(effects), np.array(variances))
    with pytest.raises(UserError, match="no tau2 method 'ml'"):
        random_effects(np.ones(2), np.ones(2), "ml")  # pyright: ignore
