"""Recalibration: mappings of scores, fitted on validation predictions, applied to others."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from scipy.optimize import isotonic_regression

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.logistic import expit, fit_logistic, logit

Method = Literal["temperature", "platt", "isotonic"]
IDENTITY = "identity"
SCHEMA = 1


def fit_recalibration(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    method: Method,
    source: str = "",
) -> dict[str, Any]:
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
        ``schema``, ``method``, ``source``, ``findings``: name -> ``method``, ``n``, ``n_positive``
        and the parameters: ``temperature``; ``slope``, ``intercept``; ``x``, ``y`` (corners); or
        ``reason``.
    """
    if method not in get_args(Method):
        raise UserError(f"There is no recalibration '{method}'; use {', '.join(get_args(Method))}.")
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.shape[1:] != (len(names),):
        raise UserError(
            f"labels {labels.shape}, scores {scores.shape} and {len(names)} names do not fit."
        )
    findings = {}
    for j, name in enumerate(names):
        known = labels[:, j] >= 0
        positive = labels[known, j] == 1
        findings[name] = _fit(positive, scores[known, j], method) | {
            "n": int(known.sum()),
            "n_positive": int(positive.sum()),
        }
    return {"schema": SCHEMA, "method": method, "source": source, "findings": findings}


def unfitted(recalibration: Mapping[str, Any]) -> dict[str, str]:
    """finding -> why its scores stay as they are."""
    return {
        name: fitted["reason"]
        for name, fitted in recalibration["findings"].items()
        if fitted["method"] == IDENTITY
    }


def recalibrate(
    recalibration: Mapping[str, Any], scores: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Apply the mappings.

    Args:
        recalibration: the result of `fit_recalibration`, or of `recalibration_file.read`.
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


def _fit(positive: np.ndarray, scores: np.ndarray, method: Method) -> dict[str, Any]:
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


def _isotonic(positive: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    x, index, n = np.unique(scores.astype(np.float64), return_inverse=True, return_counts=True)
    rate = np.bincount(index, positive) / n
    y = isotonic_regression(rate, weights=n).x
    # a constant stretch needs its two ends only
    corner = np.ones(len(y), bool)
    corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    y = np.clip(y, 0.0, 1.0)
    return {"method": "isotonic", "x": x[corner].tolist(), "y": y[corner].tolist()}


def _identity(reason: str) -> dict[str, Any]:
    return {"method": IDENTITY, "reason": reason}


def _apply(fitted: Mapping[str, Any], scores: np.ndarray) -> np.ndarray:
    match fitted["method"]:
        case "temperature":
            return expit(logit(scores) / fitted["temperature"])
        case "platt":
            return expit(fitted["slope"] * logit(scores) + fitted["intercept"])
        case "isotonic":
            return np.interp(scores.astype(np.float64), fitted["x"], fitted["y"])
        case _:
            return scores.astype(np.float64)
