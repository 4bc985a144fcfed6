"""Means over findings, and percentile intervals over resamples."""

from typing import Any

import numpy as np

LOW, HIGH = 2.5, 97.5


def interval(values: np.ndarray) -> dict[str, Any]:
    """The value of the sample and its 95 % percentile interval.

    Args:
        values: (1 + R,), first the sample, then its resamples; NaN is undefined.

    Returns:
        ``value``, ``low``, ``high`` (``None`` when undefined) and ``degenerate``, the share of the
        resamples that are undefined and were skipped (``None`` without resamples).
    """
    drawn = values[1:]
    defined = drawn[~np.isnan(drawn)]
    low, high = np.percentile(defined, [LOW, HIGH]) if len(defined) else (np.nan, np.nan)
    return {
        "value": number(values[0]),
        "low": number(low),
        "high": number(high),
        "degenerate": float(1 - len(defined) / len(drawn)) if len(drawn) else None,
    }


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
        values: (1 + R, C), a metric.
        both_classes: (1 + R, C) bool; a finding that lacks a class in a resample is left out there.

    Returns:
        (1 + R,), NaN where no finding is defined.
    """
    return mean_defined(np.where(both_classes, values, np.nan))


def macro_interval(values: np.ndarray, both_classes: np.ndarray) -> dict[str, Any]:
    """`interval` of the macro mean, with ``incomplete``: the share of resamples in which a finding
    that counts in the sample is missing from the mean."""
    counted = both_classes & ~np.isnan(values)
    missing = (counted[0] & ~counted[1:]).any(axis=1)
    result = interval(macro(values, both_classes))
    result["incomplete"] = float(missing.mean()) if len(missing) else None
    return result
