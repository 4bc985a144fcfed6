"""Means over findings, and intervals over resamples."""

from typing import Any, Literal

import numpy as np
from scipy.stats import norm

LOW, HIGH = 2.5, 97.5

IntervalMethod = Literal["percentile", "bca"]


def interval(values: np.ndarray, jackknife: int = 0) -> dict[str, Any]:
    """The value of the sample and its 95 % interval: percentile, or BCa if there is a jackknife.

    Over few patients percentiles hold the truth less often than they say: of simulated studies with
    three ECGs a patient, the AUROC's held it in 93.2 % with 50 patients and in 94.5 % with 200, and
    BCa's in 94.8 and 95.0 % (1,000 resamples; percentiles over records, 77 %).

    Args:
        values: (1 + R + J,), first the sample, then R resamples, then J jackknife values; NaN is
            undefined.
        jackknife: J. The bias-corrected and accelerated interval (Efron, J. Am. Stat. Assoc. 82,
            1987, eq. 2.3) is taken when it is above 0.

    Returns:
        ``value``, ``low``, ``high`` (``None`` when undefined) and ``degenerate``, the share of the
        resamples that are undefined and were skipped (``None`` without resamples). Where BCa has no
        finite correction (`bca_levels`), the percentile interval stands, and ``interval`` says so.
    """
    drawn = values[1 : len(values) - jackknife]
    defined = drawn[~np.isnan(drawn)]
    levels, note = (LOW, HIGH), {}
    if jackknife and len(defined) and not np.isnan(values[0]):
        corrected = bca_levels(values[0], defined, values[len(values) - jackknife :])
        if corrected is None:
            note = {"interval": "percentile"}
        else:
            levels = corrected
    low, high = np.percentile(defined, levels) if len(defined) else (np.nan, np.nan)
    return {
        "value": number(values[0]),
        "low": number(low),
        "high": number(high),
        "degenerate": float(1 - len(defined) / len(drawn)) if len(drawn) else None,
    } | note


def bca_levels(
    value: float, drawn: np.ndarray, jackknife: np.ndarray
) -> tuple[float, float] | None:
    """The percentiles that BCa takes instead of 2.5 and 97.5 (Efron 1987, eq. 2.3 and 6.6).

    Args:
        value: of the sample.
        drawn: (R,) of the resamples, all defined.
        jackknife: (J,) with one patient, or one group of patients, left out; NaN is skipped.

    Returns:
        (low, high) in percent; ``None`` if there is no finite correction, mostly because every
        resample lies on one side of the value. Resamples equal to the value count one half.
    """
    below = ((drawn < value).sum() + 0.5 * (drawn == value).sum()) / len(drawn)
    if below in (0, 1):
        return None
    bias = norm.ppf(below)
    left_out = jackknife[~np.isnan(jackknife)]
    spread = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    cubes, squares = (spread**3).sum(), (spread**2).sum()
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + norm.ppf([LOW / 100, HIGH / 100])
    if (1 - acceleration * shifted).min() <= 0:
        return None
    low, high = 100 * norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return float(low), float(high)


def number(value: float | np.floating) -> float | None:
    """A float for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def macro(values: np.ndarray, both_classes: np.ndarray) -> np.ndarray:
    """Mean over the findings that have both classes, in each resample.

    Args:
        values: (rows, C), a metric.
        both_classes: (rows, C) bool; a finding that lacks a class in a resample is left out there.

    Returns:
        (rows,), NaN where no finding is defined.
    """
    return mean_defined(np.where(both_classes, values, np.nan))


def macro_interval(
    values: np.ndarray, both_classes: np.ndarray, jackknife: int = 0
) -> dict[str, Any]:
    """`interval` of the macro mean, with ``incomplete``: the share of resamples in which a finding
    that counts in the sample is missing from the mean."""
    counted = both_classes & ~np.isnan(values)
    missing = (counted[0] & ~counted[1 : len(counted) - jackknife]).any(axis=1)
    result = interval(macro(values, both_classes), jackknife)
    result["incomplete"] = float(missing.mean()) if len(missing) else None
    return result
