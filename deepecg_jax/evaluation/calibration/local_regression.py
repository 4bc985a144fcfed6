"""Local regression (loess) of many resamples at once, for smooth calibration curves.

At each point a polynomial is fitted by least squares to the nearest share ``span`` of the records,
weighted by the tricube of their distance (Cleveland and Devlin, JASA 83, 1988). With degree 2, span
0.75 and no robustness iterations these are the defaults of R's ``loess``, which Austin and
Steyerberg (Statistics in Medicine 38, 2019) smooth calibration curves with.

Scores that occur several times are one point with a weight; beyond `MOST_POINTS` distinct scores,
neighbours share a point (bins of equal mass at their mean score), so that memory stays bounded.

`signals.standard.lowess` is the same idea for another need: robust iterations over one signal at
evenly spaced samples, where this one smooths many resamples of the same points at once.
"""

import numpy as np

SPAN, DEGREE = 0.75, 2
MOST_POINTS = 256


def points_of_values(
    values: np.ndarray, n: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """The points that stand for V different scores.

    Args:
        values: (V,) in rising order.
        n: (V,) how many records have each.
        most: points at most.

    Returns:
        ``x`` (P,) ascending, and ``index`` (V,) into it.
    """
    if len(values) <= most:
        return values, np.arange(len(values))
    before = np.cumsum(n) - n
    _, group = np.unique((before * most) // n.sum(), return_inverse=True)
    x = np.bincount(group, values * n) / np.bincount(group, n)
    return x, group


def bandwidths(x: np.ndarray, n: np.ndarray, span: float, degree: int) -> np.ndarray:
    """(P,) distance of each point to the floor(span x records)-th nearest record.

    Where ties make that too few different points for the polynomial, the window is widened to the
    nearest that are enough (R's loess would divide by zero there).
    """
    distance = np.abs(x[:, None] - x[None, :])
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(distance, order, axis=1)
    reached = np.cumsum(n[order], axis=1)
    wanted = max(1, int(span * n.sum() + 1e-5))
    at = np.minimum((reached < wanted).sum(axis=1), len(x) - 1)
    # the outermost point of a window has weight zero
    enough = min(degree + 1, len(x) - 1)
    return np.maximum(ranked[np.arange(len(x)), at], ranked[:, enough])


class LocalRegression:
    """Smooths resamples of one set of points, with the windows of the sample itself.

    Keeping the windows makes a resample a few matrix products; a resample's own windows would
    differ only where its scores lie elsewhere.
    """

    def __init__(self, x: np.ndarray, n: np.ndarray, span: float = SPAN, degree: int = DEGREE):
        """x: (P,) ascending; n: (P,) records at each point; degree 0, 1 or 2."""
        self._degree = min(degree, 2)
        self._x = x
        self._width = bandwidths(x, n, span, degree)
        self._width[self._width == 0] = 1.0  # a single point

    def _powers(self) -> list[np.ndarray]:
        """(P, P) kernel times powers of the distance; made when needed, for they are large."""
        scaled = (self._x[:, None] - self._x[None, :]) / self._width[None, :]
        kernel = np.where(np.abs(scaled) < 1, (1 - np.abs(scaled) ** 3) ** 3, 0.0)
        return [kernel * scaled**d for d in range(2 * self._degree + 1)]

    def __call__(self, weights: np.ndarray, weighted_y: np.ndarray) -> np.ndarray:
        """Smoothed y at every point.

        Args:
            weights: (R, P) records of each resample at each point.
            weighted_y: (R, P) the sum of their y.

        Returns:
            (R, P); NaN where a window is empty. A window with too few different points for the
            polynomial gets the highest degree that it carries.
        """
        powers = self._powers()
        s = [weights @ power for power in powers]
        t = [weighted_y @ power for power in powers[: self._degree + 1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = np.where(s[0] > 0, t[0] / s[0], np.nan)
            if self._degree >= 1:
                fit = np.where(*_line(s, t), fit)
            if self._degree >= 2:
                fit = np.where(*_parabola(s, t), fit)
        return fit


_SINGULAR = 1e-10


def _line(s: list[np.ndarray], t: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(where it is determined, the value at the window's centre) by Cramer's rule."""
    determinant = s[0] * s[2] - s[1] ** 2
    return determinant > _SINGULAR * s[0] ** 2, (s[2] * t[0] - s[1] * t[1]) / determinant


def _parabola(s: list[np.ndarray], t: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    first = s[2] * s[4] - s[3] ** 2
    second = s[2] * s[3] - s[1] * s[4]
    third = s[1] * s[3] - s[2] ** 2
    determinant = s[0] * first + s[1] * second + s[2] * third
    value = (t[0] * first + t[1] * second + t[2] * third) / determinant
    return determinant > _SINGULAR * s[0] ** 3, value
