"""The table of metrics. Page, terminal, comparison, groups, optimism and JSON take from it what
they show; a new metric is one row of `METRICS`.

A metric whose denominator is zero is undefined and stands as NaN; nothing is replaced by 0 or 0.5.
"""

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.metrics.metric import Metric, Place
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.tallies import Tallies


def f1(sums: Tallies) -> np.ndarray:
    """2 TP / (2 TP + FP + FN), (rows, C): 0 when nothing is found, undefined only when there is
    neither a positive nor a predicted positive."""
    twice = 2 * sums.true_positive
    return ratio(twice, twice + sums.false_positive + sums.false_negative)


METRICS: tuple[Metric, ...] = (
    Metric(
        "auroc",
        "AUROC",
        lambda r: r.auroc,
        higher_is_better=True,
        shown={
            "json": 1,
            "head": 1,
            "findings": 1,
            "averages": 1,
            "terminal": 1,
            "groups": 1,
            "group_figure": 1,
            "gaps": 1,
            "worst_group": 1,
            "power": 1,
        },
    ),
    Metric(
        "auprc",
        "AUPRC",
        lambda r: r.auprc,
        higher_is_better=True,
        shown={
            "json": 2,
            "head": 2,
            "findings": 2,
            "averages": 2,
            "terminal": 2,
            "comparison": 1,
            "groups": 2,
            "group_figure": 2,
        },
    ),
    Metric(
        "f1",
        "F1",
        lambda r: f1(r.tallies),
        higher_is_better=True,
        shown={"json": 3, "findings": 7, "averages": 3, "terminal": 5, "optimism": 1},
    ),
    Metric(
        "sensitivity",
        "Sensitivity",
        lambda r: ratio(r.tallies.true_positive, r.tallies.positive),
        higher_is_better=True,
        shown={
            "json": 4,
            "findings": 3,
            "decisions": 1,
            "terminal": 3,
            "comparison": 3,
            "groups": 3,
            "group_figure": 3,
            "gaps": 2,
            "worst_group": 2,
            "power": 2,
            "optimism": 2,
        },
        short="sens.",
        group_name="tpr",
        group_title="True-positive rate",
    ),
    Metric(
        "specificity",
        "Specificity",
        lambda r: ratio(r.tallies.true_negative, r.tallies.negative),
        higher_is_better=True,
        shown={
            "json": 5,
            "findings": 4,
            "decisions": 2,
            "terminal": 4,
            "comparison": 4,
            "optimism": 3,
        },
        short="spec.",
    ),
    Metric(
        "false_positive_rate",
        "False-positive rate",
        lambda r: ratio(r.tallies.false_positive, r.tallies.negative),
        higher_is_better=False,
        shown={"groups": 4, "group_figure": 4, "gaps": 3, "worst_group": 3, "power": 3},
        group_name="fpr",
    ),
    Metric(
        "ppv",
        "PPV",
        lambda r: ratio(r.tallies.true_positive, r.tallies.predicted),
        higher_is_better=True,
        shown={
            "json": 6,
            "findings": 5,
            "groups": 5,
            "group_figure": 5,
            "worst_group": 4,
            "power": 4,
            "optimism": 4,
        },
    ),
    Metric(
        "npv",
        "NPV",
        lambda r: ratio(r.tallies.true_negative, r.tallies.predicted_negative),
        higher_is_better=True,
        shown={"json": 7, "findings": 6, "optimism": 5},
    ),
    Metric(
        "selection_rate",
        "Selection rate",
        lambda r: ratio(r.tallies.predicted, r.tallies.known),
        higher_is_better=None,
        shown={"groups": 6, "group_figure": 6, "power": 5},
    ),
    Metric(  # the mean of (score - label)^2
        "brier",
        "Brier score",
        lambda r: ratio(r.tallies.squared_error, r.tallies.known),
        higher_is_better=False,
        shown={"json": 8, "head": 3, "comparison": 2, "groups": 7},
    ),
    Metric(
        "accuracy",
        "Accuracy",
        lambda r: ratio(r.tallies.true_positive + r.tallies.true_negative, r.tallies.known),
        higher_is_better=True,
        shown={"json": 9, "optimism": 6},
    ),
    Metric(  # 1 when the scores are calibrated in the large, below 1 when they are too high
        "observed_expected",
        "Observed / expected",
        lambda r: ratio(r.tallies.positive, r.tallies.expected),
        higher_is_better=None,
        shown={"groups": 8},
    ),
)


def shown(place: Place) -> tuple[Metric, ...]:
    """The metrics of a place, in its order."""
    return tuple(
        sorted((m for m in METRICS if place in m.shown), key=lambda metric: metric.shown[place])
    )


def names(place: Place = "json") -> list[str]:
    """Their names."""
    return [metric.name for metric in shown(place)]


def values(resampled: Resampled, place: Place = "json") -> dict[str, np.ndarray]:
    """Name -> the metric on every row of a sweep, (rows, C), of the metrics of a place."""
    return {metric.name: metric.of(resampled) for metric in shown(place)}


def metric(name: str) -> Metric:
    """One of the metrics of ``metrics.json``.

    Raises:
        UserError: there is none of that name.
    """
    found = next((m for m in shown("json") if m.name == name), None)
    if found is None:
        raise UserError(f"There is no metric '{name}'; use one of {', '.join(names())}.")
    return found
