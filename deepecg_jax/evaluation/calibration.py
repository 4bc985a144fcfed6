"""Does a score of 0.2 mean that one in five has the finding?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepecg_jax.evaluation.aggregate import mean_defined, number

BINS = 10
_CLIP = 1e-7
_MOST_STEPS = 100


def reliability(positive: np.ndarray, scores: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error over bins of equal width, and the bins.

    The error is the mean over records of |share of positives - mean score| of the record's bin
    (Naeini, Cooper and Hauskrecht, AAAI 2015). A bin holds its lower edge; the last holds 1 too.

    Args:
        positive: (M,) bool.
        scores: (M,) in 0..1.

    Returns:
        ``ece`` and ``bins`` (``low``, ``high``, ``n``, ``mean_score``, ``positive_rate``), the
        empty ones left out.
    """
    index = np.minimum((scores.astype(np.float64) * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    used = np.flatnonzero(n)
    mean_score = np.bincount(index, scores.astype(np.float64), bins)[used] / n[used]
    rate = np.bincount(index, positive, bins)[used] / n[used]
    error = float((n[used] * np.abs(rate - mean_score)).sum() / n.sum()) if len(used) else np.nan
    return {
        "ece": number(error),
        "bins": [
            {
                "low": float(b / bins),
                "high": float((b + 1) / bins),
                "n": int(n[b]),
                "mean_score": float(mean),
                "positive_rate": float(share),
            }
            for b, mean, share in zip(used, mean_score, rate, strict=True)
        ],
    }


def slope_and_intercept(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[float | None, float | None]:
    """Calibration slope, and calibration-in-the-large (Cox, Biometrika 45, 1958).

    The slope is that of a logistic regression of the label on logit(score): below 1 the scores are
    too extreme. The intercept is that of the same regression with the slope held at 1: below 0 the
    scores are too high. Scores are clipped to 1e-7 .. 1 - 1e-7.

    Returns:
        (slope, intercept); ``None`` for one that has no finite maximum-likelihood estimate (a class
        is absent, or the scores separate the classes).
    """
    if positive.all() or not positive.any():
        return None, None
    p = np.clip(scores.astype(np.float64), _CLIP, 1 - _CLIP)
    logit = np.log(p) - np.log1p(-p)
    y = positive.astype(np.float64)
    ones = np.ones_like(logit)
    separated = logit[positive].min() >= logit[~positive].max() or (
        logit[positive].max() <= logit[~positive].min()
    )
    slope = None if separated else _logistic(np.stack([ones, logit], 1), np.zeros_like(logit), y)
    intercept = _logistic(ones[:, None], logit, y)
    return (
        None if slope is None else float(slope[1]),
        None if intercept is None else float(intercept[0]),
    )


def _logistic(design: np.ndarray, offset: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Maximum likelihood by Newton's method with halved steps; ``None`` if it does not settle."""

    def likelihood(beta: np.ndarray) -> float:
        eta = design @ beta + offset
        return float((y * eta - np.logaddexp(0, eta)).sum())

    beta = np.zeros(design.shape[1])
    best = likelihood(beta)
    for _ in range(_MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta + offset, -700, 700)))
        gradient = design.T @ (y - p)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.matrix_rank(hessian) < len(beta):
            return None
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while likelihood(beta + size * step) < best - 1e-9 * abs(best) and size > 1e-6:
            size /= 2
        beta = beta + size * step
        best = likelihood(beta)
        if np.abs(size * step).max() < 1e-10:
            return beta
    return None


def calibrate(labels: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The calibration part of ``metrics.json``.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C).
        names: the C findings.

    Returns:
        ``findings`` (each ``ece``, ``slope``, ``intercept``, ``bins``), ``macro`` (mean ``ece``
        over the findings with both classes) and ``micro`` (``ece`` and ``bins`` of all records x
        findings).
    """
    known = labels >= 0
    findings = {}
    for j, name in enumerate(names):
        positive, own = labels[known[:, j], j] == 1, scores[known[:, j], j]
        slope, intercept = slope_and_intercept(positive, own) if len(own) else (None, None)
        findings[name] = {"slope": slope, "intercept": intercept} | reliability(positive, own)
    both = ((labels == 1).any(axis=0)) & ((labels == 0).any(axis=0))
    eces = [findings[name]["ece"] for name, has in zip(names, both, strict=True) if has]
    return {
        "bins": BINS,
        "findings": findings,
        "macro": {"ece": number(float(mean_defined(np.array(eces, np.float64))))},
        "micro": reliability(labels[known] == 1, scores[known]),
    }
