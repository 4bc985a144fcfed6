"""Medians of finite values; ``np.median`` takes 50 microseconds a call, most of a small check."""

import numpy as np


def median(values: np.ndarray) -> np.ndarray:
    """Median along the last axis (at least one value, none NaN): (..., N) -> (...)."""
    n = values.shape[-1]
    low, high = (n - 1) // 2, n // 2
    ordered = np.partition(values, [low, high], axis=-1)
    return ordered[..., low] / 2 + ordered[..., high] / 2
