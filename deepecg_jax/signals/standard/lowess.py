"""Robust locally weighted regression (lowess) of several series on one grid at once.

Cleveland, JASA 74 (1979): at each point a line is fitted by least squares to the nearest points,
weighted by the tricube of their distance; then points far from the curve lose weight (bisquare of
the residual over six times the median absolute residual) and all is fitted again. On a fixed grid
the tricube weights are the same for every series, so a pass is three products with a band matrix,
made block by block.

`evaluation.calibration.local_regression` is the same idea for another need: parabolas through
points of different weight, without robust passes, for many resamples at once.
"""

from functools import lru_cache

import numpy as np

_LEAST_VARIANCE = 1e-12  # of the abscissa under the weights: one point alone determines no slope
_LEAST_WEIGHT = 1e-12
_BLOCK = 64  # rows of the band matrix in one product
_Block = tuple[slice, slice, np.ndarray]  # rows, columns, (3, rows, columns)


def lowess(x: np.ndarray, y: np.ndarray, fraction: float, iterations: int = 3) -> np.ndarray:
    """Smooth each row of ``y`` (S, P) over ascending ``x`` (P,) -> (S, P) float64.

    fraction: share of the points in a window; iterations: robust fits after the first.
    ValueError for a window of no points or series of another length.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if y.ndim != 2 or x.shape != y.shape[1:]:
        raise ValueError(f"series of shape {y.shape} do not lie on {x.shape} points")
    neighbours = int(fraction * len(x) + 1e-10)
    if not 1 <= neighbours <= len(x):
        raise ValueError(f"a window of {neighbours} of {len(x)} points")
    blocks = _kernels(x.tobytes(), neighbours)
    fit = _fit(blocks, y, np.ones_like(y))
    for _ in range(iterations):
        fit = _fit(blocks, y, _robustness(np.abs(y - fit)))
    return fit


@lru_cache(maxsize=4)
def _kernels(grid: bytes, neighbours: int) -> list[_Block]:
    """Tricube weights times distance to the powers 0, 1, 2; row = where the line is fitted."""
    x = np.frombuffer(grid, np.float64)
    left = np.zeros(len(x), int)
    start, last = 0, len(x) - neighbours
    for point, at in enumerate(x):
        while start < last and at > (x[start] + x[start + neighbours]) / 2:
            start += 1
        left[point] = start
    index = np.arange(len(x))
    inside = (index >= left[:, None]) & (index < left[:, None] + neighbours)
    distance = x - x[:, None]
    radius = np.maximum(x - x[left], x[left + neighbours - 1] - x)[:, None]
    scaled = np.abs(distance) / np.where(radius > 0, radius, 1.0)
    tricube = np.where(inside & (scaled < 1), (1 - scaled**3) ** 3, 0.0)
    powers = tricube * distance ** np.arange(3)[:, None, None]
    blocks = []
    for first in range(0, len(x), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(x)))
        columns = slice(int(left[rows][0]), int(left[rows][-1]) + neighbours)
        blocks.append((rows, columns, np.ascontiguousarray(powers[:, rows, columns])))
    return blocks


def _fit(blocks: list[_Block], y: np.ndarray, robustness: np.ndarray) -> np.ndarray:
    series = len(y)
    both = np.concatenate([robustness, robustness * y]).T  # (P, 2S)
    sums = np.empty((3, y.shape[1], 2 * series))
    for rows, columns, powers in blocks:
        sums[:, rows] = powers @ both[columns]
    (weight, total), (moment, product), (square, _) = (
        (row[:, :series].T, row[:, series:].T) for row in sums
    )
    known = weight > _LEAST_WEIGHT
    weight = np.where(known, weight, 1.0)
    centre, mean = moment / weight, total / weight  # of the abscissa (from the point) and of y
    variance = np.maximum(square / weight - centre**2, _LEAST_VARIANCE)
    slope = (product / weight - centre * mean) / variance
    return np.where(known, mean - slope * centre, y)


def _robustness(residual: np.ndarray) -> np.ndarray:
    """Bisquare weights; where half of the residuals are 0, all others count as outliers."""
    scale = 6 * np.median(residual, axis=1, keepdims=True)
    scaled = np.where(scale > 0, residual / np.where(scale > 0, scale, 1.0), residual > 0)
    return np.where(scaled < 1, (1 - scaled**2) ** 2, 0.0)
