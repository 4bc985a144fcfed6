"""Arithmetic in which what is undefined is NaN, and null in JSON."""

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient of two arrays that broadcast, in their common shape; NaN where the denominator
    is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def number(value: float | np.floating) -> float | None:
    """A float for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined, (..., C) -> (...); NaN where nothing is."""
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
