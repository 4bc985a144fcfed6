"""Local regression against statsmodels (degree 1) and weighted polynomials (degree 2)."""

import numpy as np
import pytest

from deepecg_jax.evaluation.calibration.local_regression import (
    LocalRegression,
    bandwidths,
    points_of_values,
)


def support(scores, most=256):
    """The points that stand for the scores, and each score's point."""
    values, index, n = np.unique(scores, return_inverse=True, return_counts=True)
    x, point = points_of_values(values, n, most)
    return x, point[index]


def smooth(scores, y, degree, span):
    x, index = support(scores)
    n = np.bincount(index).astype(float)
    fit = LocalRegression(x, n, span, degree)(n[None], np.bincount(index, y)[None])[0]
    return x, n, index, fit


@pytest.mark.parametrize("span", [0.3, 2 / 3, 0.75])
def test_degree_one_is_statsmodels_lowess(span):
    lowess = pytest.importorskip("statsmodels.nonparametric.smoothers_lowess").lowess
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 4, 240)
    y = (rng.random(240) < scores).astype(float)
    _, _, index, fit = smooth(scores, y, 1, span)
    expected = lowess(y, scores, frac=span, it=0, delta=0.0, return_sorted=False)
    # statsmodels counts a neighbour within 0.1 % of the window's edge as outside, whose weight is
    # below (1 - 0.999^3)^3 = 3e-8
    assert np.abs(fit[index] - expected).max() < 1e-7


@pytest.mark.parametrize("decimals", [2, 8])
def test_degree_two_is_a_weighted_parabola(decimals):
    rng = np.random.default_rng(1)
    scores = np.round(rng.beta(1, 3, 250), decimals)
    y = (rng.random(250) < scores).astype(float)
    x, n, _, fit = smooth(scores, y, 2, 0.75)
    width = bandwidths(x, n, 0.75, 2)
    for i in range(0, len(x), 7):
        weight = np.clip(1 - np.abs((scores - x[i]) / width[i]) ** 3, 0, None) ** 3
        expected = np.polyval(np.polyfit(scores - x[i], y, 2, w=np.sqrt(weight)), 0.0)
        assert fit[i] == pytest.approx(expected, abs=1e-9)


def test_few_different_scores_give_the_means():
    """Two scores carry no parabola: the curve is the share of positives at each."""
    scores, y = (
        np.repeat([0.2, 0.7], 50),
        np.r_[np.ones(10), np.zeros(40), np.ones(25), np.zeros(25)],
    )
    assert smooth(scores, y, 2, 0.75)[3] == pytest.approx([0.2, 0.5])
    assert smooth(np.full(9, 0.4), np.r_[1, np.zeros(8)], 2, 0.75)[3] == pytest.approx([1 / 9])


def test_many_scores_share_points_without_changing_the_curve():
    rng = np.random.default_rng(2)
    scores = rng.beta(1, 3, 3000)
    y = (rng.random(3000) < scores**1.3).astype(float)
    x, _, index, fit = smooth(scores, y, 2, 0.75)
    assert len(x) == 256
    exact_x, _ = support(scores, 3000)
    at = np.arange(50, 2950, 200)
    width = bandwidths(exact_x, np.ones(3000), 0.75, 2)[at]
    for i, h in zip(at, width, strict=True):
        weight = np.clip(1 - np.abs((scores - exact_x[i]) / h) ** 3, 0, None) ** 3
        exact = np.polyval(np.polyfit(scores - exact_x[i], y, 2, w=np.sqrt(weight)), 0.0)
        assert np.interp(exact_x[i], x, fit) == pytest.approx(exact, abs=1e-3)
