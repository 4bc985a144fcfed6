"""Recalibration: mappings of scores, fitted on validation predictions, applied to others."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.logistic import fit_logistic, logit
from deepecg_jax.evaluation.calibration.results import (
    FittedMapping,
    Recalibration,
    RecalibrationMethod,
)

SCHEMA = 1


def fit_recalibration(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    method: RecalibrationMethod,
    source: str = "",
) -> Recalibration:
    """Fit one mapping a finding, on validation data, never on the data to be reported.

    * ``temperature``: expit(logit(score) / T), T > 0 by maximum likelihood (Guo et al., ICML 2017);
    * ``platt``: expit(slope x logit(score) + intercept) by maximum likelihood, unpenalised and
      without smoothed targets (Platt, Advances in Large Margin Classifiers, 1999, on logits);
    * ``isotonic``: the non-decreasing step of least squared error through the scores (Zadrozny and
      Elkan, KDD 2002), interpolated linearly between its corners and constant beyond them.

    A finding for which the mapping does not exist keeps its scores: ``identity`` with a ``reason``;
    `unfitted` names those, and a caller should say so.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C) in 0..1; clipped to 1e-7 .. 1 - 1e-7 where a logit is taken.
        names: the C findings.
        method: one for all findings.
        source: what the mapping says it was fitted on.

    Returns:
        what ``calibration.json`` holds.
    """
    if method not in get_args(RecalibrationMethod):
        raise UserError(
            f"There is no recalibration '{method}'; use {', '.join(get_args(RecalibrationMethod))}."
        )
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.shape[1:] != (len(names),):
        raise UserError(
            f"labels {labels.shape}, scores {scores.shape} and {len(names)} names do not fit."
        )
    findings: dict[str, FittedMapping] = {}
    for j, name in enumerate(names):
        known = labels[:, j] >= 0
        positive = labels[known, j] == 1
        findings[name] = _fit(positive, scores[known, j], method)
        findings[name]["n"] = int(known.sum())
        findings[name]["n_positive"] = int(positive.sum())
    return {"schema": SCHEMA, "method": method, "source": source, "findings": findings}


def unfitted(recalibration: Recalibration) -> dict[str, str]:
    """finding -> why its scores stay as they are."""
    return {
        name: fitted.get("reason", "")
        for name, fitted in recalibration["findings"].items()
        if fitted["method"] == "identity"
    }


def recalibrate(
    recalibration: Recalibration, scores: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Apply the mappings.

    Args:
        recalibration: what `fit_recalibration` or `recalibration_file.read_recalibration` gave.
        scores: (N, C) in 0..1.
        names: the C findings of the columns.

    Returns:
        (N, C) of the scores' dtype (float32 or float64), in 0..1.

    Raises:
        UserError: a finding has no mapping.
    """
    findings = recalibration["findings"]
    missing = [name for name in names if name not in findings]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"The calibration has no mapping for '{missing[0]}'{more}; fit it on validation "
            "predictions with the same findings."
        )
    columns = [_apply(findings[name], scores[:, j]) for j, name in enumerate(names)]
    return np.stack(columns, axis=1).astype(scores.dtype)


def _fit(positive: np.ndarray, scores: np.ndarray, method: RecalibrationMethod) -> FittedMapping:
    if len(positive) == 0 or positive.all() or not positive.any():
        lacks = "positive" if not positive.any() else "negative"
        return _identity(f"the validation data have no {lacks} record")
    if method == "isotonic":
        return _isotonic(positive, scores)
    x, y = logit(scores), positive.astype(np.float64)
    ones, none = np.ones_like(x), np.zeros_like(x)
    apart = x[positive].min() >= x[~positive].max() or x[positive].max() <= x[~positive].min()
    if method == "platt":
        if apart:
            return _identity("the scores separate the classes, so no finite slope is best")
        beta = fit_logistic(np.stack([ones, x], 1), y, none)
        if beta is None:
            return _identity("the logistic regression has no maximum")
        return {"method": "platt", "slope": float(beta[1]), "intercept": float(beta[0])}
    # without an intercept, what separates is a sign: positives above 0.5, negatives below
    if (x[positive] >= 0).all() and (x[~positive] <= 0).all():
        return _identity("the scores separate the classes at 0.5, so no finite temperature is best")
    beta = fit_logistic(x[:, None], y, none)
    if beta is None or beta[0] <= 0:
        return _identity("no positive temperature fits: the scores do not rise with the finding")
    return {"method": "temperature", "temperature": float(1 / beta[0])}


def _isotonic(positive: np.ndarray, scores: np.ndarray) -> FittedMapping:
    x, index, n = np.unique(scores.astype(np.float64), return_inverse=True, return_counts=True)
    rate = np.bincount(index, positive) / n
    y = isotonic_regression(rate, weights=n).x
    # a constant stretch needs its two ends only
    corner = np.ones(len(y), bool)
    corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    y = np.clip(y, 0.0, 1.0)
    return {"method": "isotonic", "x": x[corner].tolist(), "y": y[corner].tolist()}


def _identity(reason: str) -> FittedMapping:
    return {"method": "identity", "reason": reason}


def _apply(fitted: FittedMapping, scores: np.ndarray) -> np.ndarray:
    if fitted["method"] == "temperature":
        return expit(logit(scores) / fitted["temperature"])
    if fitted["method"] == "platt":
        return expit(fitted["slope"] * logit(scores) + fitted["intercept"])
    if fitted["method"] == "isotonic":
        return np.interp(scores.astype(np.float64), fitted["x"], fitted["y"])
    return scores.astype(np.float64)
