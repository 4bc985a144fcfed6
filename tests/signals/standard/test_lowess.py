"""Lowess against statsmodels."""

import numpy as np
import pytest

from deepecg_jax.signals.standard.lowess import lowess

oracle = pytest.importorskip("statsmodels.nonparametric.smoothers_lowess").lowess


def series(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = np.cumsum(rng.normal(size=(5, n)), axis=1) + rng.normal(size=(5, n))
    y[1, rng.integers(0, n, 6)] += 40  # outliers, which the robust passes must remove
    y[2] = np.exp(y[2] / 20)
    y[3] = 2.0
    y[4, : n // 2] += 30.0
    return y


@pytest.mark.parametrize("fraction", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("iterations", [0, 3])
@pytest.mark.parametrize("grid", ["equal", "random"])
def test_statsmodels_gives_the_same(fraction: float, iterations: int, grid: str) -> None:
    n = 237
    rng = np.random.default_rng(7)
    x = 30 + 0.1 * np.arange(n) if grid == "equal" else np.sort(rng.uniform(0, 50, n))
    y = series(n, 3)
    ours = lowess(x, y, fraction, iterations)
    for smooth, values in zip(ours, y, strict=True):
        expected = oracle(values, x, frac=fraction, it=iterations, delta=0.0, return_sorted=False)
        np.testing.assert_allclose(smooth, expected, rtol=1e-8, atol=1e-8)


def test_series_are_independent() -> None:
    x, y = np.arange(200.0), series(200, 1)
    np.testing.assert_allclose(lowess(x, y, 0.1)[2], lowess(x, y[2:3], 0.1)[0], rtol=1e-12)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="do not lie"):
        lowess(np.arange(5.0), np.zeros((2, 6)), 0.5)
    with pytest.raises(ValueError, match="window of 0"):
        lowess(np.arange(5.0), np.zeros((2, 5)), 0.1)
