"""Two models on the same records: every difference with an interval and a p-value."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np

from deepecg_jax.evaluation.comparison.delong import delong
from deepecg_jax.evaluation.comparison.multiplicity import adjust
from deepecg_jax.evaluation.comparison.permutation import Swaps, permutation_p, permuted
from deepecg_jax.evaluation.comparison.reclassification import reclassify
from deepecg_jax.evaluation.comparison.results import (
    CategoryComparison,
    ComparisonResult,
    DecisionCurves,
    DeLongTests,
    Entry,
    Family,
    FindingEntry,
    MetricComparison,
)
from deepecg_jax.evaluation.discrimination.decision_curve import (
    PROBABILITIES,
    net_benefit,
    treat_all,
)
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Bootstrap, Resampled, bootstrap
from deepecg_jax.evaluation.resampling.defined import macro, number
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.finding_sets import category_members
from deepecg_jax.evaluation.table.grouping import column
from deepecg_jax.evaluation.table.pairing import Pair

SCHEMA = 1


Values = Mapping[str, np.ndarray]
"""Metric -> (rows,): a finding or an average on every row of a sweep."""


def compare(
    joined: Pair,
    thresholds: tuple[Thresholds, Thresholds] = (Thresholds(), Thresholds()),
    resampling: Resampling | None = None,
    permutations: int = 1000,
) -> ComparisonResult:
    """Everything that ``comparison.json`` holds. Every difference is A minus B.

    Args:
        joined: both models' predictions, see `pairing.pair`.
        thresholds: of A and B.
        resampling: of the paired bootstrap; the permutations have its seed and swap its clusters.
        permutations: of the permutation test; 0 leaves it out.

    Raises:
        UserError: a threshold is missing, or a record has no patient.
    """
    resampling = resampling or Resampling()
    table, b_scores = joined.table, joined.b_scores
    names, labels, weights = table.names, table.labels, table.weight
    scores = (table.scores, b_scores)
    limits = (thresholds[0].of(names), thresholds[1].of(names))
    sweep, strata = resampling.sweep(table.patient_id, partial(column, table))
    categories = category_members(names)
    pools = {"": list(range(len(names)))} | categories
    swept = tuple(
        bootstrap(labels, s, t, sweep, pools, {}, weights, resampling.devices)
        for s, t in zip(scores, limits, strict=True)
    )
    resampler = sweep.resampler
    swapped = None
    if permutations:
        swaps = Swaps(resampler.cluster_of, resampler.n_clusters, resampling.seed)
        swapped = permuted(
            labels, scores, limits, swaps, permutations, pools, weights, resampling.devices
        )
    # (rows, C) of each metric, of A and of B
    each = [metric_values(part.findings) for part in swept]
    each_swapped = swapped and [metric_values(part.findings) for part in swapped]

    def aggregate(findings: Sequence[int], pool: str) -> CategoryComparison:
        def mean(parts: Sequence[Bootstrap]) -> list[Values]:
            return [_macro(part.findings, findings) for part in parts]

        def flat(parts: Sequence[Bootstrap]) -> list[Values]:
            return [_column(metric_values(part.pools[pool]), 0) for part in parts]

        return {
            "macro": _entry(mean(swept), swapped and mean(swapped), sweep.jackknife_rows),
            "micro": _entry(flat(swept), swapped and flat(swapped), sweep.jackknife_rows),
        }

    overall = aggregate(pools[""], "")
    tests = [
        _delong(
            labels[:, j],
            scores[0][:, j],
            scores[1][:, j],
            weights,
            resampler.cluster_of,
            resampling.cluster is not None,
        )
        for j in range(len(names))
    ]
    reclassified, mean_reclassified = reclassify(
        labels, scores, (swept[0].findings, swept[1].findings), sweep, weights
    )
    findings: dict[str, FindingEntry] = {}
    for j, name in enumerate(names):
        resampled = swept[0].findings
        values = [_column(part, j) for part in each]
        chance = each_swapped and [_column(part, j) for part in each_swapped]
        findings[name] = {
            "n": int(resampled.n[j]),
            "n_positive": int(resampled.n_positive[j]),
            "threshold_a": float(limits[0][j]),
            "threshold_b": float(limits[1][j]),
            **_entry(values, chance, sweep.jackknife_rows),
            **tests[j],
            "reclassification": reclassified[j],
            "decision_curve": _decision_curve(labels[:, j], scores, j, weights),
        }
    base = _adjust(findings, overall, resampling.cluster is not None, weights is not None)
    return {
        "schema": SCHEMA,
        **joined.about,
        "n_patients": table.n_patients,
        "resamples": resampling.resamples,
        "permutations": permutations,
        "seed": resampling.seed,
        "cluster": resampling.cluster,
        "interval": resampling.interval,
        "stratify": strata,
        "weighted": weights is not None,
        "thresholds_a": thresholds[0].source,
        "thresholds_b": thresholds[1].source,
        "difference_is": "a - b",
        "adjusted": base,
        "findings": findings,
        "macro": {**overall["macro"], "reclassification": mean_reclassified},
        "micro": overall["micro"],
        "categories": {name: aggregate(members, name) for name, members in categories.items()},
    }


def _column(values: Values, j: int) -> Values:
    """One finding of (rows, C)."""
    return {metric: own[:, j] for metric, own in values.items()}


def _macro(resampled: Resampled, findings: Sequence[int]) -> Values:
    columns = list(findings)
    both = resampled.tallies.both_classes()[:, columns]
    return {m: macro(own[:, columns], both) for m, own in metric_values(resampled).items()}


def _entry(values: Sequence[Values], chance: Sequence[Values] | None, jackknife: int) -> Entry:
    """A finding or an average: AUROC at the head, every metric below ``metrics``."""
    metrics: dict[str, MetricComparison] = {}
    for metric in values[0]:
        a, b = values[0][metric], values[1][metric]
        difference = a - b
        metrics[metric] = {
            "a": interval(a, jackknife),
            "b": interval(b, jackknife),
            "difference": interval(difference, jackknife),
            "p_bootstrap": bootstrap_p(difference[: len(difference) - jackknife]),
            "p_permutation": None
            if chance is None
            else permutation_p(chance[0][metric] - chance[1][metric]),
        }
    head = metrics["auroc"]
    return {
        "a": head["a"]["value"],
        "b": head["b"]["value"],
        "difference": head["difference"],
        "p_bootstrap": head["p_bootstrap"],
        "p_permutation": head["p_permutation"],
        "metrics": metrics,
    }


def bootstrap_p(difference: np.ndarray) -> float | None:
    """Two-sided p-value of no difference, from the resamples on the far side of zero.

    Twice the smaller share of resamples at or beyond zero, with one added to each count, so that it
    is never 0; the level at which the percentile interval just reaches zero (Efron and Tibshirani,
    An Introduction to the Bootstrap, 1993, section 15.4).

    Args:
        difference: (1 + R,), first of the sample; undefined resamples are skipped.
    """
    drawn = difference[1:][~np.isnan(difference[1:])]
    if np.isnan(difference[0]) or not len(drawn):
        return None
    smaller = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return float(min(1.0, 2 * (1 + smaller) / (1 + len(drawn))))


def _delong(
    labels: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray | None,
    cluster_of: np.ndarray,
    clustered: bool,
) -> DeLongTests:
    """DeLong's test, undefined for weighted records."""
    found: dict[str, float | None] = {"p_delong": None, "se_delong": None}
    found |= {"p_delong_clustered": None, "se_delong_clustered": None}
    if weights is None:
        known = labels >= 0
        arrays = labels[known] == 1, a[known], b[known]
        tests = [("", delong(*arrays))]
        if clustered:
            tests.append(("_clustered", delong(*arrays, cluster_of[known])))
        for name, test in tests:
            if test is not None:
                found[f"p_delong{name}"] = number(test.p)
                found[f"se_delong{name}"] = number(test.standard_error)
    return cast(DeLongTests, found)


def _decision_curve(
    labels: np.ndarray, scores: tuple[np.ndarray, ...], j: int, weights: np.ndarray | None
) -> DecisionCurves:
    curves = {
        "a": net_benefit(labels, scores[0][:, j], PROBABILITIES, weights),
        "b": net_benefit(labels, scores[1][:, j], PROBABILITIES, weights),
        "all": treat_all(labels, PROBABILITIES, weights),
    }
    shown = {name: [number(value) for value in curve] for name, curve in curves.items()}
    return {
        "threshold": PROBABILITIES.tolist(),
        "a": shown["a"],
        "b": shown["b"],
        "all": shown["all"],
        "none": [0.0] * len(PROBABILITIES),
    }


def _adjust(
    findings: Mapping[str, FindingEntry],
    overall: CategoryComparison,
    clustered: bool,
    weighted: bool,
) -> dict[str, Family]:
    """Add ``p_holm`` and ``p_bh``; tell which p-values they adjust, over which family."""
    kind = "p_bootstrap" if weighted else "p_delong_clustered" if clustered else "p_delong"
    averages: dict[str, Entry] = {"macro": overall["macro"], "micro": overall["micro"]}
    families: list[tuple[Mapping[str, Entry], dict[str, float | None]]] = [
        (findings, {name: entry[kind] for name, entry in findings.items()}),
        (averages, {name: entry["p_bootstrap"] for name, entry in averages.items()}),
    ]
    for family, p_values in families:
        for name, (holm, hochberg) in adjust(p_values).items():
            family[name]["p_holm"], family[name]["p_bh"] = holm, hochberg
    tested = sum(p is not None for p in families[0][1].values())
    return {
        "findings": {"p": kind, "family": tested},
        "macro and micro": {"p": "p_bootstrap", "family": len(averages)},
    }
