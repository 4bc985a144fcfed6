"""Unpenalised logistic regression of a few coefficients, with patient-level standard errors."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

CLIP = 1e-7
_MOST_STEPS = 100
_MANY = 20_000


def logit(scores: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) as float64 of the same shape; probabilities are clipped to 1e-7 .. 1 - 1e-7
    first."""
    p = np.clip(np.asarray(scores, np.float64), CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


def fit_logistic(design: np.ndarray, y: np.ndarray, offset: np.ndarray) -> np.ndarray | None:
    """Maximum likelihood by Newton's method with halved steps.

    Args:
        design: (N, K).
        y: (N,) 0 or 1.
        offset: (N,) added to the linear predictor with coefficient 1.

    Returns:
        (K,) coefficients, or ``None`` where the maximum does not exist (separated classes, a
        singular design) or was not reached.
    """

    def look(beta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log likelihood and predicted probabilities, from one exponential."""
        eta = design @ beta + offset
        small = np.exp(-np.abs(eta))
        p = np.where(eta >= 0, 1.0, small) / (1.0 + small)
        return float((y * eta - np.maximum(eta, 0.0) - np.log1p(small)).sum()), p

    beta = None
    if len(y) > _MANY:  # every sixteenth record is enough to come close
        beta = fit_logistic(design[::16], y[::16], offset[::16])
    if beta is None:
        beta = np.zeros(design.shape[1])
    best, p = look(beta)
    for _ in range(_MOST_STEPS):
        gradient = design.T @ (y - p)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.matrix_rank(hessian) < len(beta):
            return None
        step = np.linalg.solve(hessian, gradient)
        size, floor = 1.0, best - 1e-9 * abs(best)
        best, p = look(beta + step)
        while best < floor and size > 1e-6:
            size /= 2
            best, p = look(beta + size * step)
        beta = beta + size * step
        if np.abs(size * step).max() < 1e-10:
            return beta
    return None


def clustered_errors(
    design: np.ndarray,
    y: np.ndarray,
    offset: np.ndarray,
    beta: np.ndarray,
    cluster_of: np.ndarray,
) -> np.ndarray:
    """Standard errors (K,) that allow for several records of a patient.

    The sandwich H^-1 (sum over clusters of u u') H^-1 with u the summed scores of a cluster (Liang
    and Zeger, Biometrika 73, 1986), without a small-sample factor.
    """
    p = expit(design @ beta + offset)
    hessian = (design * (p * (1 - p))[:, None]).T @ design
    by_record = design * (y - p)[:, None]
    _, cluster = np.unique(cluster_of, return_inverse=True)
    summed = np.stack([np.bincount(cluster, column) for column in by_record.T], axis=1)
    bread = np.linalg.inv(hessian)
    return np.sqrt(np.diag(bread @ (summed.T @ summed) @ bread))


class CoxRecalibration(NamedTuple):
    """Slope and intercept with their standard errors, each ``None`` where there is no estimate."""

    slope: float | None
    intercept: float | None
    slope_error: float | None = None
    intercept_error: float | None = None


def cox_recalibration(
    positive: np.ndarray, scores: np.ndarray, cluster_of: np.ndarray | None = None
) -> CoxRecalibration:
    """Calibration slope, and calibration-in-the-large (Cox, Biometrika 45, 1958).

    The slope is that of a logistic regression of the label on logit(score): below 1 the scores are
    too extreme. The intercept is that of the same regression with the slope held at 1: below 0 the
    scores are too high. Scores are clipped to 1e-7 .. 1 - 1e-7.

    Args:
        positive: (M,) bool.
        scores: (M,) in 0..1.
        cluster_of: (M,) the patient of each record, for the standard errors.

    Returns:
        ``None`` for what has no finite maximum-likelihood estimate (a class is absent, or the
        scores separate the classes).
    """
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return CoxRecalibration(None, None)
    x, y = logit(scores), positive.astype(np.float64)
    ones = np.ones_like(x)
    separated = x[positive].min() >= x[~positive].max() or x[positive].max() <= x[~positive].min()
    line, none = np.stack([ones, x], 1), np.zeros_like(x)
    slope = None if separated else fit_logistic(line, y, none)
    intercept = fit_logistic(ones[:, None], y, x)
    slope_error = intercept_error = None
    if cluster_of is not None:
        if slope is not None:
            slope_error = float(clustered_errors(line, y, none, slope, cluster_of)[1])
        if intercept is not None:
            errors = clustered_errors(ones[:, None], y, x, intercept, cluster_of)
            intercept_error = float(errors[0])
    return CoxRecalibration(
        None if slope is None else float(slope[1]),
        None if intercept is None else float(intercept[0]),
        slope_error,
        intercept_error,
    )
