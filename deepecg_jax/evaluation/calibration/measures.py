"""Calibration errors and the decomposed Brier score, in every resample."""

import numpy as np

from deepecg_jax.evaluation.calibration.sums import BinSums, Sums
from deepecg_jax.evaluation.resampling.defined import ratio

MURPHY = (
    "reliability",
    "resolution",
    "uncertainty",
    "within_bin_variance",
    "within_bin_covariance",
)
SMOOTH = ("ici", "e50", "e90", "emax")
CALIBRATION_MEASURES = (
    "ece",
    "ece_equal_mass",
    *SMOOTH,
    "brier",
    *MURPHY,
    "observed_expected_ratio",
)


def calibration_error(bins: BinSums) -> np.ndarray:
    """Expected calibration error, (R,); NaN in a resample without records.

    The mean over records of |share of positives - mean score| of the record's bin (Naeini, Cooper
    and Hauskrecht, AAAI 2015; bins of equal mass: Nguyen and O'Connor, EMNLP 2015).
    """
    return ratio(np.abs(bins.positive - bins.score).sum(axis=1), bins.n.sum(axis=1))


def murphy(sums: Sums) -> dict[str, np.ndarray]:
    """Brier score and its parts over bins of equal width, each (R,).

    brier = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance,
    exactly. The first three are Murphy's (J. Appl. Meteorol. 12, 1973) with the mean score of each
    bin as its forecast; the within-bin terms, which Murphy's form lacks when the scores of a bin
    differ, are those of Stephenson, Coelho and Jolliffe (Weather and Forecasting 23, 2008).
    """
    n, positive, score = sums.width.n, sums.width.positive, sums.width.score
    records = n.sum(axis=1)
    mean, rate = ratio(score, n), ratio(positive, n)
    base = ratio(positive.sum(axis=1), records)

    def over_bins(values: np.ndarray) -> np.ndarray:
        return ratio(np.where(n > 0, n * values, 0.0).sum(axis=1), records)

    bin_squares = np.where(n > 0, score * mean, 0.0).sum(axis=1)
    bin_products = np.where(n > 0, positive * mean, 0.0).sum(axis=1)
    total = sums.squared - 2 * sums.product + positive.sum(axis=1)
    return {
        "brier": ratio(total, records),
        "reliability": over_bins((mean - rate) ** 2),
        "resolution": over_bins((rate - base[:, None]) ** 2),
        "uncertainty": base * (1 - base),
        "within_bin_variance": ratio(sums.squared - bin_squares, records),
        "within_bin_covariance": ratio(2 * (sums.product - bin_products), records),
    }


def smooth_errors(x: np.ndarray, smooth: np.ndarray, n: np.ndarray) -> dict[str, np.ndarray]:
    """Distances between a smooth calibration curve and the diagonal, each (R,).

    ``ici`` is the mean over records of |smoothed share - score|, ``e50`` and ``e90`` its median and
    90th percentile, ``emax`` its maximum (Austin and Steyerberg, Statistics in Medicine 38, 2019).
    Percentiles are the lowest distance that at least that share of the records does not exceed.

    Args:
        x: (P,) scores.
        smooth: (R, P) smoothed share of positives.
        n: (R, P) records at each score.
    """
    distance = np.where(n > 0, np.abs(smooth - x), 0.0)
    records = n.sum(axis=1)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(distance, order, axis=1)
    reached = np.cumsum(np.take_along_axis(n, order, axis=1), axis=1)

    def percentile(share: float) -> np.ndarray:
        at = np.minimum((reached < share * records[:, None]).sum(axis=1), len(x) - 1)
        return ranked[np.arange(len(ranked)), at]

    values = {
        "ici": ratio((distance * n).sum(axis=1), records),
        "e50": percentile(0.5),
        "e90": percentile(0.9),
        "emax": distance.max(axis=1),
    }
    return {name: np.where(records > 0, value, np.nan) for name, value in values.items()}


def measures(x: np.ndarray, sums: Sums) -> dict[str, np.ndarray]:
    """All of `CALIBRATION_MEASURES` that the sums carry, each (R,)."""
    found = {"ece": calibration_error(sums.width)} | murphy(sums)
    positive, score = sums.width.positive.sum(axis=1), sums.width.score.sum(axis=1)
    found["observed_expected_ratio"] = ratio(positive, score)
    if sums.mass is not None:
        found["ece_equal_mass"] = calibration_error(sums.mass)
    if sums.smooth is not None and sums.smooth_n is not None:
        found |= smooth_errors(x, sums.smooth, sums.smooth_n)
    return {name: found[name] for name in CALIBRATION_MEASURES if name in found}
