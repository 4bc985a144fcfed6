"""Intervals over resamples, and what JSON holds of an estimate."""

from typing import Literal, NotRequired

import numpy as np
from scipy.stats import norm
from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.defined import macro, number

LOW, HIGH = 2.5, 97.5
NORMAL = 1.959963984540054
"""The 97.5 % point of the normal distribution: half the width of a Wald interval, in errors."""

IntervalMethod = Literal["percentile", "bca"]


class Estimate(TypedDict):
    """A value with its 95 % interval; ``None`` is undefined.

    ``degenerate`` is the share of the resamples in which the value was undefined and which were
    skipped; ``interval`` is there where BCa fell back to the percentile interval.
    """

    value: float | None
    low: float | None
    high: float | None
    degenerate: float | None
    interval: NotRequired[Literal["percentile"]]


class MacroEstimate(Estimate):
    """The mean over findings. ``incomplete`` is the share of resamples in which a finding that
    counts in the sample is missing from the mean."""

    incomplete: float | None


def interval(values: np.ndarray, jackknife: int = 0) -> Estimate:
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
    levels, fell_back = (LOW, HIGH), False
    if jackknife and len(defined) and not np.isnan(values[0]):
        corrected = bca_levels(values[0], defined, values[len(values) - jackknife :])
        if corrected is None:
            fell_back = True
        else:
            levels = corrected
    low, high = np.percentile(defined, levels) if len(defined) else (np.nan, np.nan)
    estimate: Estimate = {
        "value": number(values[0]),
        "low": number(low),
        "high": number(high),
        "degenerate": float(1 - len(defined) / len(drawn)) if len(drawn) else None,
    }
    if fell_back:
        estimate["interval"] = "percentile"
    return estimate


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


def macro_interval(
    values: np.ndarray, both_classes: np.ndarray, jackknife: int = 0
) -> MacroEstimate:
    """`interval` of the macro mean.

    Args:
        values: (rows, C), a metric of C findings in the sample, its resamples and its jackknife.
        both_classes: (rows, C) bool, see `defined.macro`.
        jackknife: how many of the rows are the jackknife's.
    """
    counted = both_classes & ~np.isnan(values)
    missing = (counted[0] & ~counted[1 : len(counted) - jackknife]).any(axis=1)
    return {
        **interval(macro(values, both_classes), jackknife),
        "incomplete": float(missing.mean()) if len(missing) else None,
    }
