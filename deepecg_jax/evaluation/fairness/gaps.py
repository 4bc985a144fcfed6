"""Differences between groups of patients, with intervals.

Per finding a difference is the largest minus the smallest group value, as in fairlearn's
``MetricFrame.difference``, and a ratio the smallest over the largest. The reported value is the
mean over the findings that have at least one positive and one negative record in every group, in
the sample and again in each resample; all groups share the resamples, so differences are paired.

* equal opportunity: the true-positive-rate difference; equalized odds: the larger of the
  true-positive-rate and the false-positive-rate difference, of each finding and of the two means
  alike (Hardt, Price and Srebro, NIPS 2016); its ratio is the smaller of the two ratios.
* demographic parity: the selection-rate difference and ratio (Dwork et al., ITCS 2012).

The definition ``original`` is that of the published DeepECG fairness analysis: the mean over all
ordered pairs of groups of the absolute difference, a group with itself included, over all findings,
a rate without denominator counting 0, and unknown sex or age a group of its own. Pairs with itself
shrink the mean difference of K groups by (K - 1) / K, to one half with two; it is here so that the
published figures can be compared, and applies to the two rates. ``by_finding`` still holds only the
findings that can be compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from deepecg_jax.evaluation.discrimination.threshold_metrics import ratio
from deepecg_jax.evaluation.fairness.power import ALPHA, POWER, detectable_gaps
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.intervals import (
    interval,
    macro,
    macro_interval,
    mean_defined,
    number,
)

GROUP_METRICS = (
    "auroc",
    "auprc",
    "tpr",
    "fpr",
    "ppv",
    "selection_rate",
    "brier",
    "observed_expected",
)
_RATES = ("tpr", "fpr")
_LOWER_IS_WORSE = ("auroc", "auprc", "tpr", "ppv")
_HIGHER_IS_WORSE = ("fpr", "brier")
_POWERED = ("auroc", "tpr", "fpr", "ppv", "selection_rate")

Definition = Literal["range", "original"]


def group_metrics(resampled: Resampled) -> dict[str, np.ndarray]:
    """The metrics of `GROUP_METRICS` in one group, each (rows, C).

    ``observed_expected`` is the number of positives over the sum of the scores: 1 when the scores
    are calibrated in the large, below 1 when they are too high.
    """
    sums = resampled.tallies
    return {
        "auroc": resampled.auroc,
        "auprc": resampled.auprc,
        "tpr": ratio(sums.true_positive, sums.positive),
        "fpr": ratio(sums.false_positive, sums.negative),
        "ppv": ratio(sums.true_positive, sums.predicted),
        "selection_rate": ratio(sums.predicted, sums.known),
        "brier": ratio(sums.squared_error, sums.known),
        "observed_expected": ratio(sums.positive, sums.expected),
    }


def compare_groups(
    masks: Mapping[str, np.ndarray],
    resampled: Mapping[str, Resampled],
    names: Sequence[str],
    jackknife: int = 0,
    definition: Definition = "range",
) -> dict[str, Any]:
    """The JSON of one attribute.

    Args:
        masks: group -> (N,) bool.
        resampled: group -> its rows, of C findings.
        names: the C findings.
        jackknife: how many of the rows are the jackknife's.
        definition: of a difference, see the head of this file.

    Returns:
        ``groups`` (group -> ``n``, ``n_positive``, the metrics averaged over the compared findings,
        their ``intervals``, and ``by_finding``), the differences and ratios, ``worst_group``,
        ``power``, and ``findings_compared``.
    """
    if not masks:
        return {"groups": {}, "findings_compared": []}
    values = {group: group_metrics(resampled[group]) for group in masks}
    complete = np.all([resampled[group].tallies.both_classes() for group in masks], axis=0)
    # A finding that cannot be compared in the sample is out of every resample too.
    complete = complete & complete[0]
    compared = complete[0]
    result: dict[str, Any] = {
        "groups": {
            group: _group(mask, resampled[group], values[group], compared, names, jackknife)
            for group, mask in masks.items()
        }
    }
    if len(masks) > 1:
        stacked = {m: np.stack([values[group][m] for group in masks]) for m in GROUP_METRICS}
        result |= _differences(stacked, complete, names, jackknife, definition)
        result |= _ratios(stacked, complete, names, jackknife)
        parities = {"equal_opportunity": "tpr", "demographic_parity": "selection_rate"}
        for parity, metric in parities.items():
            for kind in ("difference", "ratio"):
                whole = result[f"{metric}_{kind}"]
                result[f"{parity}_{kind}"] = {k: v for k, v in whole.items() if k != "by_finding"}
        result["worst_group"] = _worst(list(masks), stacked, compared, names)
        drawn = slice(1, complete.shape[0] - jackknife)
        result["power"] = {
            "alpha": ALPHA,
            "power": POWER,
            "smallest_detectable": {
                metric: detectable_gaps(
                    {group: values[group][metric][drawn] for group in masks}, compared, names
                )
                for metric in _POWERED
            },
        }
        result["definition"] = definition
    result["findings_compared"] = [name for j, name in enumerate(names) if compared[j]]
    return result


def _differences(
    stacked: Mapping[str, np.ndarray],
    complete: np.ndarray,
    names: Sequence[str],
    jackknife: int,
    definition: Definition,
) -> dict[str, Any]:
    gaps, counted = {}, {}
    for metric, array in stacked.items():
        counted[metric] = complete
        gaps[metric] = np.where(complete, array.max(axis=0) - array.min(axis=0), np.nan)
        if definition == "original" and metric in _RATES:
            counted[metric] = np.ones_like(complete)
            gaps[metric] = all_ordered_pairs(np.nan_to_num(array))
    gaps["equalized_odds"] = np.maximum(gaps["tpr"], gaps["fpr"])
    counted["equalized_odds"] = counted["tpr"]
    result = {}
    for metric, gap in gaps.items():
        overall = macro_interval(gap, counted[metric], jackknife)
        if metric == "equalized_odds":
            means = [macro(gaps[rate], counted[rate]) for rate in _RATES]
            overall |= interval(np.maximum(*means), jackknife)
        by_finding = _each(gap, complete[0], names, jackknife)
        result[f"{metric}_difference"] = overall | {"by_finding": by_finding}
    return result


def all_ordered_pairs(values: np.ndarray) -> np.ndarray:
    """Mean of |a - b| over all ordered pairs (a, b) of the K groups, a = b included.

    Args:
        values: (K, ...).
    """
    ordered = np.abs(values[:, None] - values[None, :])
    return ordered.mean(axis=(0, 1))


def _ratios(
    stacked: Mapping[str, np.ndarray], complete: np.ndarray, names: Sequence[str], jackknife: int
) -> dict[str, Any]:
    """Smallest over largest group value, undefined where the largest is 0."""
    ratios = {
        metric: np.where(complete, ratio(array.min(axis=0), array.max(axis=0)), np.nan)
        for metric, array in stacked.items()
    }
    ratios["equalized_odds"] = np.fmin(ratios["tpr"], ratios["fpr"])
    result = {}
    for metric, array in ratios.items():
        overall = macro_interval(array, complete, jackknife)
        if metric == "equalized_odds":
            means = [macro(ratios[rate], complete) for rate in _RATES]
            overall |= interval(np.fmin(*means), jackknife)
        by_finding = _each(array, complete[0], names, jackknife)
        result[f"{metric}_ratio"] = overall | {"by_finding": by_finding}
    return result


def _each(
    values: np.ndarray, shown: np.ndarray, names: Sequence[str], jackknife: int
) -> dict[str, Any]:
    return {name: interval(values[:, j], jackknife) for j, name in enumerate(names) if shown[j]}


def _worst(
    groups: Sequence[str],
    stacked: Mapping[str, np.ndarray],
    compared: np.ndarray,
    names: Sequence[str],
) -> dict[str, Any]:
    """The group with the worst value: of the mean over compared findings, and of each finding."""
    result = {}
    for metric in (*_LOWER_IS_WORSE, *_HIGHER_IS_WORSE):
        sample = stacked[metric][:, 0]
        sign = -1.0 if metric in _HIGHER_IS_WORSE else 1.0
        means = mean_defined(sample[:, compared])

        def worst(values: np.ndarray, sign: float = sign) -> dict[str, Any] | None:
            if np.isnan(values).all():
                return None
            at = int(np.nanargmin(sign * values))
            return {"group": groups[at], "value": number(values[at])}

        result[metric] = {
            "mean": worst(means),
            "by_finding": {
                name: worst(sample[:, j]) for j, name in enumerate(names) if compared[j]
            },
        }
    return result


def _group(
    mask: np.ndarray,
    resampled: Resampled,
    values: Mapping[str, np.ndarray],
    compared: np.ndarray,
    names: Sequence[str],
    jackknife: int,
) -> dict[str, Any]:
    """One group's JSON; its means are over the findings `compared` (C,) in the whole sample."""
    means = {
        metric: interval(mean_defined(array[:, compared]), jackknife)
        for metric, array in values.items()
    }
    return (
        {"n": int(mask.sum()), "n_positive": int(resampled.n_positive[compared].sum())}
        | {metric: mean["value"] for metric, mean in means.items()}
        | {"intervals": means}
        | {
            "by_finding": {
                name: {"n": int(resampled.n[j]), "n_positive": int(resampled.n_positive[j])}
                | {metric: number(array[0, j]) for metric, array in values.items()}
                for j, name in enumerate(names)
            }
        }
    )
