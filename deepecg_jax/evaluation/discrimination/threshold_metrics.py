"""The nine metrics of a finding, computed from sums over records.

A metric whose denominator is zero is undefined and stands as NaN; nothing is replaced by 0 or 0.5.
"""

import numpy as np

from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.tallies import Tallies

METRICS = ("auroc", "auprc", "f1", "sensitivity", "specificity", "ppv", "npv", "brier", "accuracy")


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def threshold_metrics(tallies: Tallies) -> dict[str, np.ndarray]:
    """F1, sensitivity, specificity, PPV, NPV, Brier score and accuracy, each (R, C).

    F1 is 2 TP / (2 TP + FP + FN): 0 when nothing is found, undefined only when there is neither a
    positive nor a predicted positive. The Brier score is the mean of (score - label)^2.
    """
    tp, fp = tallies.true_positive, tallies.false_positive
    fn, tn = tallies.false_negative, tallies.true_negative
    return {
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "brier": ratio(tallies.squared_error, tallies.known),
        "accuracy": ratio(tp + tn, tallies.known),
    }


def all_metrics(resampled: Resampled) -> dict[str, np.ndarray]:
    """The metrics of `METRICS`, in that order, each (1 + R, C)."""
    values = {"auroc": resampled.auroc, "auprc": resampled.auprc}
    values.update(threshold_metrics(resampled.tallies))
    return {name: values[name] for name in METRICS}
