"""How large a gap between groups the sample could have shown."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import norm

from deepecg_jax.evaluation.fairness.results import DetectableGap
from deepecg_jax.evaluation.resampling.defined import mean_defined, number

ALPHA, POWER = 0.05, 0.8


def smallest_detectable(
    standard_error: float | np.ndarray, alpha: float = ALPHA, power: float = POWER
) -> np.ndarray:
    """The true difference that a two-sided test at `alpha` finds with probability `power`, in the
    unit and shape of the standard error.

    ``(z(1 - alpha / 2) + z(power)) * standard_error`` (Bloom, Evaluation Review 19, 1995). With the
    standard error of a patient bootstrap it holds for any metric and for repeated patients; for two
    independent proportions it is the usual sample-size formula (Fleiss, Levin and Paik, Statistical
    Methods for Rates and Proportions, 2003, section 4.2) solved for the difference.
    """
    factor = norm.ppf(1 - alpha / 2) + norm.ppf(power)
    return factor * np.asarray(standard_error, np.float64)


def detectable_gaps(
    values: Mapping[str, np.ndarray], compared: np.ndarray, names: Sequence[str]
) -> DetectableGap:
    """The smallest detectable gap of one metric.

    Args:
        values: group -> (R, C), the metric in each resample; the same resamples in every group.
        compared: (C,) bool, findings whose mean is reported.
        names: the C findings.

    Returns:
        ``pairs`` ("A - B" -> gap of the mean over findings), ``value`` (the largest of them: a gap
        beyond it would have been found whichever two groups it lies between) and ``by_finding``
        (the largest over pairs). ``None`` where fewer than two resamples are defined.
    """
    pairs: dict[str, float | None] = {}
    widest = np.full(len(names), np.nan)
    for a, b in combinations(values, 2):
        difference = values[a] - values[b]
        pairs[f"{a} - {b}"] = number(
            float(smallest_detectable(_spread(mean_defined(difference[:, compared])[:, None])[0]))
        )
        widest = np.fmax(widest, smallest_detectable(_spread(difference)))
    known = [gap for gap in pairs.values() if gap is not None]
    return {
        "value": max(known) if known else None,
        "pairs": pairs,
        "by_finding": {name: number(widest[j]) for j, name in enumerate(names) if compared[j]},
    }


def _spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over resamples of what is defined, (C,), NaN with fewer than two."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    filled = np.where(defined, values, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(defined, (values - mean) ** 2, 0.0).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
