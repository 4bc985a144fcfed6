"""Decision curves: is acting on the score better than treating everybody or nobody?

Net benefit at a threshold probability t is TP / n - FP / n * t / (1 - t): true positives, minus
false positives weighted by the odds at which one would just act (Vickers and Elkin, Med. Decis.
Making 26, 2006). Treating nobody has 0.
"""

import numpy as np

from deepecg_jax.evaluation.resampling.tallies import comparable_thresholds

PROBABILITIES = np.round(np.arange(0.01, 1.0, 0.01), 2)


def net_benefit(
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray = PROBABILITIES,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Net benefit of acting on scores at or above each threshold.

    Args:
        labels: (N,), 1, 0 or -1 unknown (left out).
        scores: (N,) probabilities.
        thresholds: (K,) in 0..1, exclusive.
        weights: (N,) how much each record counts.

    Returns:
        (K,) float64, per record; NaN without a known label.
    """
    known = labels >= 0
    weight = np.ones(len(labels)) if weights is None else weights
    weight, positive, scores = weight[known], labels[known] == 1, scores[known]
    total = weight.sum()
    if not total > 0:
        return np.full(len(thresholds), np.nan)
    order = np.argsort(scores, kind="stable")
    limits = comparable_thresholds(thresholds, scores.dtype)
    below = np.searchsorted(scores[order], limits, side="left")

    def at_or_above(weights: np.ndarray) -> np.ndarray:
        cumulative = np.r_[0.0, np.cumsum(weights[order])]
        return cumulative[-1] - cumulative[below]

    true, false = at_or_above(weight * positive), at_or_above(weight * ~positive)
    return (true - false * thresholds / (1 - thresholds)) / total


def treat_all(
    labels: np.ndarray, thresholds: np.ndarray = PROBABILITIES, weights: np.ndarray | None = None
) -> np.ndarray:
    """Net benefit of acting on everybody, (K,)."""
    return net_benefit(labels, np.ones(len(labels)), thresholds, weights)
