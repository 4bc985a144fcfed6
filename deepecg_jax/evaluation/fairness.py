"""Differences between groups of patients, with intervals.

Per finding a difference is the largest minus the smallest group value, as in fairlearn's
``MetricFrame.difference``. The reported value is the mean over the findings that have at least one
positive and one negative record in every group, in the sample and again in each resample.
Equalized odds is the larger of the true-positive-rate and the false-positive-rate difference
(Hardt, Price and Srebro, NIPS 2016), of each finding and of the two means alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepecg_jax.evaluation.aggregate import (
    interval,
    macro,
    macro_interval,
    mean_defined,
    number,
)
from deepecg_jax.evaluation.bootstrap import Resampled
from deepecg_jax.evaluation.predictions import Predictions
from deepecg_jax.evaluation.threshold_metrics import ratio

GROUP_METRICS = ("auroc", "tpr", "fpr", "ppv", "selection_rate")


def groups_of(predictions: Predictions) -> dict[str, dict[str, np.ndarray]]:
    """The records of each group: attribute -> group -> (N,) bool, groups without records left out.

    Sex is female or male; age is ``<=55``, ``56-75`` (above 55, at most 75) or ``>75`` years. A
    record with unknown sex or age is in no group of that attribute.
    """
    age, sex = predictions.age, predictions.sex
    attributes = {
        "sex": {"female": sex == "female", "male": sex == "male"},
        "age": {"<=55": age <= 55, "56-75": (age > 55) & (age <= 75), ">75": age > 75},
    }
    return {
        attribute: {name: np.asarray(mask, bool) for name, mask in groups.items() if mask.any()}
        for attribute, groups in attributes.items()
    }


def group_metrics(resampled: Resampled) -> dict[str, np.ndarray]:
    """The metrics of `GROUP_METRICS` in one group, each (1 + R, C)."""
    sums = resampled.tallies
    return {
        "auroc": resampled.auroc,
        "tpr": ratio(sums.true_positive, sums.positive),
        "fpr": ratio(sums.predicted - sums.true_positive, sums.negative),
        "ppv": ratio(sums.true_positive, sums.predicted),
        "selection_rate": ratio(sums.predicted, sums.known),
    }


def compare_groups(
    masks: Mapping[str, np.ndarray], resampled: Mapping[str, Resampled], names: Sequence[str]
) -> dict[str, Any]:
    """The JSON of one attribute.

    Args:
        masks: group -> (N,) bool.
        resampled: group -> its resamples, of C findings.
        names: the C findings.

    Returns:
        ``groups`` (group -> ``n``, the metrics averaged over the compared findings, their
        ``intervals``, and ``by_finding``), the differences, and ``findings_compared``.
    """
    if not masks:
        return {"groups": {}, "findings_compared": []}
    values = {group: group_metrics(resampled[group]) for group in masks}
    complete = np.all([resampled[group].tallies.both_classes() for group in masks], axis=0)
    # A finding that cannot be compared in the sample is out of every resample too.
    complete = complete & complete[0]
    result: dict[str, Any] = {
        "groups": {
            group: _group(mask, resampled[group], values[group], complete[0], names)
            for group, mask in masks.items()
        }
    }
    if len(masks) > 1:
        gaps = {metric: _gap(values, metric, complete) for metric in GROUP_METRICS}
        gaps["equalized_odds"] = np.maximum(gaps["tpr"], gaps["fpr"])
        for metric, gap in gaps.items():
            overall = macro_interval(gap, complete)
            if metric == "equalized_odds":
                means = [macro(gaps[rate], complete) for rate in ("tpr", "fpr")]
                overall |= interval(np.maximum(*means))
            result[f"{metric}_difference"] = overall | {
                "by_finding": {
                    name: interval(gap[:, j]) for j, name in enumerate(names) if complete[0, j]
                }
            }
    result["findings_compared"] = [name for j, name in enumerate(names) if complete[0, j]]
    return result


def _gap(
    values: Mapping[str, Mapping[str, np.ndarray]], metric: str, complete: np.ndarray
) -> np.ndarray:
    """Largest minus smallest group value, (1 + R, C), NaN where a finding cannot be compared."""
    stacked = np.stack([group[metric] for group in values.values()])
    return np.where(complete, stacked.max(axis=0) - stacked.min(axis=0), np.nan)


def _group(
    mask: np.ndarray,
    resampled: Resampled,
    values: Mapping[str, np.ndarray],
    compared: np.ndarray,
    names: Sequence[str],
) -> dict[str, Any]:
    """One group's JSON; its means are over the findings `compared` (C,) in the whole sample."""
    means = {metric: interval(mean_defined(array[:, compared])) for metric, array in values.items()}
    sums = resampled.tallies
    return (
        {"n": int(mask.sum())}
        | {metric: mean["value"] for metric, mean in means.items()}
        | {"intervals": means}
        | {
            "by_finding": {
                name: {"n": int(sums.known[0, j]), "n_positive": int(sums.positive[0, j])}
                | {metric: number(array[0, j]) for metric, array in values.items()}
                for j, name in enumerate(names)
            }
        }
    )
