"""Two models on the same records: every difference with an interval and a p-value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepecg_jax.evaluation.comparison.delong import delong
from deepecg_jax.evaluation.comparison.multiplicity import adjust
from deepecg_jax.evaluation.comparison.permutation import Swaps, permutation_p, permuted
from deepecg_jax.evaluation.comparison.reclassification import reclassify
from deepecg_jax.evaluation.discrimination.decision_curve import GRID, net_benefit, treat_all
from deepecg_jax.evaluation.discrimination.threshold_metrics import METRICS, all_metrics
from deepecg_jax.evaluation.discrimination.thresholds import DEFAULT, align_thresholds
from deepecg_jax.evaluation.evaluate import Thresholds, make_sweep
from deepecg_jax.evaluation.resampling.bootstrap import Bootstrap, Resampled, bootstrap
from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.intervals import IntervalMethod, interval, macro, number
from deepecg_jax.evaluation.table.finding_sets import category_members
from deepecg_jax.evaluation.table.pairing import Pair

SCHEMA = 1


@dataclass(frozen=True)
class CompareOptions:
    """How two models are compared.

    Attributes:
        resamples: of the paired bootstrap.
        permutations: of the permutation test; 0 leaves it out.
        seed: of both.
        cluster: ``patient_id`` draws and swaps whole patients, ``None`` single records.
        interval: ``percentile`` or ``bca``.
        stratify: a column within whose values patients are drawn.
        devices: spread the resamples over these.
    """

    resamples: int = 1000
    permutations: int = 1000
    seed: int = 0
    cluster: str | None = "patient_id"
    interval: IntervalMethod = "percentile"
    stratify: str | None = None
    devices: Devices | None = None


def compare(
    joined: Pair,
    thresholds: tuple[Thresholds, Thresholds] = (Thresholds(), Thresholds()),
    options: CompareOptions | None = None,
) -> dict[str, Any]:
    """Everything that ``comparison.json`` holds. Every difference is A minus B.

    Args:
        joined: both models' predictions, see `pairing.pair`.
        thresholds: of A and B.
        options: everything else.

    Raises:
        UserError: a threshold is missing, a record has no patient, an option is out of range.
    """
    options = options or CompareOptions()
    table, b_scores = joined.table, joined.b_scores
    names, labels, weights = table.names, table.labels, table.weight
    scores = (table.scores, b_scores)
    limits = (_limits(thresholds[0], names), _limits(thresholds[1], names))
    sweep, strata = make_sweep(
        table,
        options.resamples,
        options.seed,
        options.cluster,
        options.stratify,
        options.interval == "bca",
    )
    categories = category_members(names)
    pools = {"": list(range(len(names)))} | categories
    swept = tuple(
        bootstrap(labels, s, t, sweep, pools, {}, weights, options.devices)
        for s, t in zip(scores, limits, strict=True)
    )
    resampler = sweep.resampler
    swapped = None
    if options.permutations:
        swaps = Swaps(resampler.cluster_of, resampler.n_clusters, options.seed)
        swapped = permuted(
            labels, scores, limits, swaps, options.permutations, pools, weights, options.devices
        )

    def aggregate(findings: Sequence[int], pool: str) -> dict[str, Any]:
        def mean(parts: Sequence[Bootstrap]) -> tuple[dict[str, np.ndarray], ...]:
            return tuple(_macro(part.findings, findings) for part in parts)

        def flat(parts: Sequence[Bootstrap]) -> tuple[dict[str, np.ndarray], ...]:
            return tuple(_column(part.pools[pool], 0) for part in parts)

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
            options.cluster is not None,
        )
        for j in range(len(names))
    ]
    reclassified, mean_reclassified = reclassify(
        labels, scores, (swept[0].findings, swept[1].findings), sweep, weights
    )
    findings = {}
    for j, name in enumerate(names):
        resampled = swept[0].findings
        values = tuple(_column(part.findings, j) for part in swept)
        chance = swapped and tuple(_column(part.findings, j) for part in swapped)
        findings[name] = (
            {"n": int(resampled.n[j]), "n_positive": int(resampled.n_positive[j])}
            | {"threshold_a": float(limits[0][j]), "threshold_b": float(limits[1][j])}
            | _entry(values, chance, sweep.jackknife_rows)
            | tests[j]
            | {"reclassification": reclassified[j]}
            | {"decision_curve": _decision_curve(labels[:, j], scores, j, weights)}
        )
    base = _adjust(findings, overall, options.cluster is not None, weights is not None)
    return {
        "schema": SCHEMA,
        **joined.about,
        "n_patients": table.n_patients,
        "resamples": options.resamples,
        "permutations": options.permutations,
        "seed": options.seed,
        "cluster": options.cluster,
        "interval": options.interval,
        "stratify": strata,
        "weighted": weights is not None,
        "thresholds_a": thresholds[0].source,
        "thresholds_b": thresholds[1].source,
        "difference_is": "a - b",
        "adjusted": base,
        "findings": findings,
        "macro": overall["macro"] | {"reclassification": mean_reclassified},
        "micro": overall["micro"],
        "categories": {name: aggregate(members, name) for name, members in categories.items()},
    }


def _limits(thresholds: Thresholds, names: Sequence[str]) -> np.ndarray:
    if thresholds.values is None:
        return np.full(len(names), DEFAULT)
    return align_thresholds(thresholds.values, names, thresholds.source)


def _column(resampled: Resampled, j: int) -> dict[str, np.ndarray]:
    return {metric: values[:, j] for metric, values in all_metrics(resampled).items()}


def _macro(resampled: Resampled, findings: Sequence[int]) -> dict[str, np.ndarray]:
    columns = list(findings)
    both = resampled.tallies.both_classes()[:, columns]
    return {m: macro(values[:, columns], both) for m, values in all_metrics(resampled).items()}


def _entry(
    values: tuple[Mapping[str, np.ndarray], ...],
    chance: tuple[Mapping[str, np.ndarray], ...] | None,
    jackknife: int,
) -> dict[str, Any]:
    """A finding or an average: AUROC at the head, every metric below ``metrics``."""
    metrics = {}
    for metric in METRICS:
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
) -> dict[str, Any]:
    """DeLong's test, undefined for weighted records."""
    result: dict[str, Any] = {"p_delong": None, "se_delong": None}
    result |= {"p_delong_clustered": None, "se_delong_clustered": None}
    if weights is not None:
        return result
    known = labels >= 0
    arrays = labels[known] == 1, a[known], b[known]
    tests = [("", delong(*arrays))]
    if clustered:
        tests.append(("_clustered", delong(*arrays, cluster_of[known])))
    for name, test in tests:
        if test is not None:
            result[f"p_delong{name}"] = number(test.p)
            result[f"se_delong{name}"] = number(test.standard_error)
    return result


def _decision_curve(
    labels: np.ndarray, scores: tuple[np.ndarray, ...], j: int, weights: np.ndarray | None
) -> dict[str, Any]:
    curves = {
        "a": net_benefit(labels, scores[0][:, j], GRID, weights),
        "b": net_benefit(labels, scores[1][:, j], GRID, weights),
        "all": treat_all(labels, GRID, weights),
    }
    shown = {name: [number(value) for value in curve] for name, curve in curves.items()}
    return {"threshold": GRID.tolist()} | shown | {"none": [0.0] * len(GRID)}


def _adjust(
    findings: dict[str, Any], overall: dict[str, Any], clustered: bool, weighted: bool
) -> dict[str, Any]:
    """Add ``p_holm`` and ``p_bh``; tell which p-values they adjust, over which family."""
    kind = "p_delong_clustered" if clustered else "p_delong"
    if weighted:
        kind = "p_bootstrap"
    families = ((findings, kind), (overall, "p_bootstrap"))
    for family, key in families:
        adjusted = adjust({name: entry[key] for name, entry in family.items()})
        for name, (holm, hochberg) in adjusted.items():
            family[name] |= {"p_holm": holm, "p_bh": hochberg}
    return {
        "findings": {"p": kind, "family": sum(f[kind] is not None for f in findings.values())},
        "macro and micro": {"p": "p_bootstrap", "family": len(overall)},
    }
