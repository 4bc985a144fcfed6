"""p-values adjusted for many findings."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import false_discovery_control


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted for the family-wise error rate (Holm, Scand. J. Statist. 6, 1979).

    Args:
        p_values: (M,), all defined.

    Returns:
        (M,).
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def adjust(p_values: Mapping[str, float | None]) -> dict[str, tuple[float | None, float | None]]:
    """(Holm, Benjamini-Hochberg) of each name; the undefined are no part of the family.

    The second is for the false-discovery rate (Benjamini and Hochberg, JRSS B 57, 1995).
    """
    names = [name for name, p in p_values.items() if p is not None]
    family = np.array([p_values[name] for name in names], np.float64)
    result: dict[str, tuple[float | None, float | None]] = dict.fromkeys(p_values, (None, None))
    by_rate = false_discovery_control(family, method="bh")
    for name, by_holm, by_hochberg in zip(
        names, holm(family).tolist(), by_rate.tolist(), strict=True
    ):
        result[name] = (by_holm, by_hochberg)
    return result
