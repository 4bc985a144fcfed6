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
from typing import Literal, NamedTuple, cast

import numpy as np

from deepecg_jax.evaluation.fairness.power import ALPHA, POWER, detectable_gaps
from deepecg_jax.evaluation.fairness.results import (
    Gap,
    Group,
    GroupComparison,
    GroupValue,
    WorstGroup,
)
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.defined import macro, mean_defined, number, ratio
from deepecg_jax.evaluation.resampling.intervals import Estimate, interval, macro_interval

EQUALIZED_ODDS = "equalized_odds"
_RATES = ("sensitivity", "false_positive_rate")
"""The two rates of equalized odds."""
_PARITIES = {"equal_opportunity": "sensitivity", "demographic_parity": "selection_rate"}

Definition = Literal["range", "original"]


def compare_groups(
    masks: Mapping[str, np.ndarray],
    resampled: Mapping[str, Resampled],
    names: Sequence[str],
    jackknife: int = 0,
    definition: Definition = "range",
) -> GroupComparison:
    """The JSON of one attribute.

    Args:
        masks: group -> (N,) bool.
        resampled: group -> its rows, of C findings.
        names: the C findings.
        jackknife: how many of the rows are the jackknife's.
        definition: of a difference, see the head of this file.

    Returns:
        see `results.GroupComparison`; metrics stand under the names that groups have in JSON.
    """
    if not masks:
        return {"groups": {}, "findings_compared": []}
    values = {group: metric_values(resampled[group], "groups") for group in masks}
    complete = np.all([resampled[group].tallies.both_classes() for group in masks], axis=0)
    # A finding that cannot be compared in the sample is out of every resample too.
    complete = complete & complete[0]
    compared = complete[0]
    result: dict[str, object] = {
        "groups": {
            group: _group(mask, resampled[group], values[group], compared, names, jackknife)
            for group, mask in masks.items()
        }
    }
    if len(masks) > 1:
        stacked = {
            m: np.stack([values[group][m] for group in masks]) for m in values[next(iter(masks))]
        }
        differences = _differences(stacked, complete, names, jackknife, definition)
        ratios = _ratios(stacked, complete, names, jackknife)
        for kind, gaps in (("difference", differences), ("ratio", ratios)):
            result |= {f"{metric}_{kind}": gap for metric, gap in gaps.items()}
        in_json = _in_json()
        for parity, metric in _PARITIES.items():
            for kind, gaps in (("difference", differences), ("ratio", ratios)):
                whole = gaps[in_json[metric]]
                result[f"{parity}_{kind}"] = {k: v for k, v in whole.items() if k != "by_finding"}
        result["worst_group"] = _worst(list(masks), stacked, compared, names)
        drawn = slice(1, complete.shape[0] - jackknife)
        result["power"] = {
            "alpha": ALPHA,
            "power": POWER,
            "smallest_detectable": {
                metric.in_groups: detectable_gaps(
                    {group: values[group][metric.name][drawn] for group in masks}, compared, names
                )
                for metric in shown("power")
            },
        }
        result["definition"] = definition
    result["findings_compared"] = [name for j, name in enumerate(names) if compared[j]]
    return cast(GroupComparison, result)


class GapColumn(NamedTuple):
    """A difference that is shown: its title alone and in a sentence, and its name in JSON."""

    title: str
    in_text: str
    name: str


def gap_columns() -> list[GapColumn]:
    """The differences between groups that are shown; equalized odds, the larger of two of them,
    comes last."""
    columns = [
        GapColumn(metric.of_groups, metric.of_groups_in_text, metric.in_groups)
        for metric in shown("gaps")
    ]
    return [*columns, GapColumn("Equalized odds", "equalized odds", EQUALIZED_ODDS)]


def _in_json() -> dict[str, str]:
    """Name of a metric of groups -> its name in their JSON."""
    return {metric.name: metric.in_groups for metric in shown("groups")}


def _differences(
    stacked: Mapping[str, np.ndarray],
    complete: np.ndarray,
    names: Sequence[str],
    jackknife: int,
    definition: Definition,
) -> dict[str, Gap]:
    """Name in JSON -> largest minus smallest group value of a metric, (groups, rows, C)."""
    gaps, counted = {}, {}
    for metric, array in stacked.items():
        counted[metric] = complete
        gaps[metric] = np.where(complete, array.max(axis=0) - array.min(axis=0), np.nan)
        if definition == "original" and metric in _RATES:
            counted[metric] = np.ones_like(complete)
            gaps[metric] = all_ordered_pairs(np.nan_to_num(array))
    gaps[EQUALIZED_ODDS] = np.maximum(*(gaps[rate] for rate in _RATES))
    counted[EQUALIZED_ODDS] = counted[_RATES[0]]
    both = np.maximum(*(macro(gaps[rate], counted[rate]) for rate in _RATES))
    return _gaps(gaps, counted, both, complete[0], names, jackknife)


def all_ordered_pairs(values: np.ndarray) -> np.ndarray:
    """Mean of |a - b| over all ordered pairs (a, b) of the K groups, a = b included.

    Args:
        values: (K, ...), one value a group.

    Returns:
        (...).
    """
    ordered = np.abs(values[:, None] - values[None, :])
    return ordered.mean(axis=(0, 1))


def _ratios(
    stacked: Mapping[str, np.ndarray], complete: np.ndarray, names: Sequence[str], jackknife: int
) -> dict[str, Gap]:
    """Smallest over largest group value, undefined where the largest is 0; see `_differences`."""
    ratios = {
        metric: np.where(complete, ratio(array.min(axis=0), array.max(axis=0)), np.nan)
        for metric, array in stacked.items()
    }
    ratios[EQUALIZED_ODDS] = np.fmin(*(ratios[rate] for rate in _RATES))
    both = np.fmin(*(macro(ratios[rate], complete) for rate in _RATES))
    counted = dict.fromkeys(ratios, complete)
    return _gaps(ratios, counted, both, complete[0], names, jackknife)


def _gaps(
    values: Mapping[str, np.ndarray],
    counted: Mapping[str, np.ndarray],
    equalized_odds: np.ndarray,
    compared: np.ndarray,
    names: Sequence[str],
    jackknife: int,
) -> dict[str, Gap]:
    """Name in JSON -> the mean of a difference or ratio (rows, C), and that of each finding.

    The mean of equalized odds is not the mean over findings: it takes one of the two rates' means,
    (rows,).
    """
    in_json, result = _in_json(), {}
    for metric, own in values.items():
        overall = macro_interval(own, counted[metric], jackknife)
        if metric == EQUALIZED_ODDS:
            overall = {**overall, **interval(equalized_odds, jackknife)}
        by_finding = _each(own, compared, names, jackknife)
        result[in_json.get(metric, metric)] = cast(Gap, {**overall, "by_finding": by_finding})
    return result


def _each(
    values: np.ndarray, compared: np.ndarray, names: Sequence[str], jackknife: int
) -> dict[str, Estimate]:
    return {name: interval(values[:, j], jackknife) for j, name in enumerate(names) if compared[j]}


def _worst(
    groups: Sequence[str],
    stacked: Mapping[str, np.ndarray],
    compared: np.ndarray,
    names: Sequence[str],
) -> dict[str, WorstGroup]:
    """Name in JSON -> the group with the worst value, of metrics that have a better end."""
    result: dict[str, WorstGroup] = {}
    judged = [metric for metric in shown("groups") if metric.higher_is_better is not None]
    for metric in sorted(judged, key=lambda metric: not metric.higher_is_better):
        sample = stacked[metric.name][:, 0]
        sign = 1.0 if metric.higher_is_better else -1.0
        means = mean_defined(sample[:, compared])

        def worst(values: np.ndarray, sign: float = sign) -> GroupValue | None:
            if np.isnan(values).all():
                return None
            at = int(np.nanargmin(sign * values))
            return {"group": groups[at], "value": number(values[at])}

        result[metric.in_groups] = {
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
) -> Group:
    """One group's JSON; its means are over the findings `compared` (C,) in the whole sample."""
    in_json = _in_json()
    means = {
        in_json[metric]: interval(mean_defined(array[:, compared]), jackknife)
        for metric, array in values.items()
    }
    by_finding = {
        name: {"n": int(resampled.n[j]), "n_positive": int(resampled.n_positive[j])}
        | {in_json[metric]: number(array[0, j]) for metric, array in values.items()}
        for j, name in enumerate(names)
    }
    group = {
        "n": int(mask.sum()),
        "n_positive": int(resampled.n_positive[compared].sum()),
        **{metric: mean["value"] for metric, mean in means.items()},
        "intervals": means,
        "by_finding": by_finding,
    }
    return cast(Group, group)
