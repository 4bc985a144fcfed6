"""From a predictions table to ``metrics.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.calibrate import calibrate
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
from deepecg_jax.evaluation.fairness.gaps import Definition, compare_groups
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled, bootstrap
from deepecg_jax.evaluation.resampling.intervals import (
    Estimate,
    MacroEstimate,
    interval,
    macro_interval,
)
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.results import Confusion, Evaluation, Finding, SetOfFindings
from deepecg_jax.evaluation.survival.analysis import survival
from deepecg_jax.evaluation.table.finding_sets import category_members, group_members
from deepecg_jax.evaluation.table.grouping import column, groups_of
from deepecg_jax.evaluation.table.predictions import Predictions
from deepecg_jax.files import write_json

SCHEMA = 1
CALIBRATION_RESAMPLES = 200
"""At most so many for calibration, whose smooth curves cost more than all the rest."""


@dataclass(frozen=True)
class Options:
    """What `evaluate` can do beyond its defaults.

    Attributes:
        groups: name -> findings, further sets to average over.
        by: further columns whose groups are compared, such as ``site`` or ``device``.
        fairness_definition: ``range``, or ``original`` (see `fairness.gaps`).
        survival: findings or columns whose scores are held against ``time_days`` and ``event``.
        horizon_years: how far the survival analysis looks.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by: Sequence[str] = ()
    fairness_definition: Definition = "range"
    survival: Sequence[str] = ()
    horizon_years: float = 5.0


def evaluate(
    predictions: Predictions,
    thresholds: Thresholds | None = None,
    resampling: Resampling | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Everything that ``metrics.json`` holds.

    Args:
        predictions: the table.
        thresholds: fixed from elsewhere (validation data); 0.5 if not given.
        resampling: how the bootstrap draws; 1,000 resamples of whole patients if not given.
        options: everything else.

    Raises:
        UserError: no finding has a known label, a threshold is missing, a record has no patient, or
            an option names a column or a finding that is not there.
    """
    thresholds, options = thresholds or Thresholds(), options or Options()
    resampling = resampling or Resampling()
    names, labels, scores = predictions.names, predictions.labels, predictions.scores
    if not (labels >= 0).any():
        raise UserError("No finding has a known label, so there is nothing to evaluate.")
    limits = thresholds.of(names)
    sweep, strata = resampling.sweep(predictions.patient_id, partial(column, predictions))
    sets = {"": list(range(len(names)))}
    categories = category_members(names)
    groups = group_members(options.groups, names)
    original = options.fairness_definition == "original"
    masks = groups_of(predictions, options.by, with_unknown=original)
    result = bootstrap(
        labels,
        scores,
        limits,
        sweep,
        pools=sets
        | {f"category/{name}": members for name, members in categories.items()}
        | {f"group/{name}": members for name, members in groups.items()},
        groups={f"{a}/{g}": mask for a, own in masks.items() for g, mask in own.items()},
        weights=predictions.weight,
        devices=resampling.devices,
    )
    jackknife = sweep.jackknife_rows

    def averages(members: dict[str, list[int]], kind: str) -> dict[str, SetOfFindings]:
        return {
            name: {
                "macro": _macro(result.findings, findings, jackknife),
                "micro": _micro(result.pools[f"{kind}/{name}"], jackknife),
                "findings": [names[j] for j in findings],
            }
            for name, findings in members.items()
        }

    return {
        "schema": SCHEMA,
        "n_records": len(predictions),
        "n_patients": sweep.resampler.n_clusters if resampling.cluster else predictions.n_patients,
        "resamples": resampling.resamples,
        "seed": resampling.seed,
        "cluster": resampling.cluster,
        "interval": resampling.interval,
        "stratify": strata,
        "weighted": predictions.weight is not None,
        "thresholds": thresholds.source,
        "threshold_fit": thresholds.fit,
        "findings": _findings(result.findings, names, limits, jackknife),
        "macro": _macro(result.findings, sets[""], jackknife),
        "micro": _micro(result.pools[""], jackknife),
        "categories": averages(categories, "category"),
        "groups": averages(groups, "group"),
        "fairness": {
            attribute: compare_groups(
                own,
                {g: result.groups[f"{attribute}/{g}"] for g in own},
                names,
                jackknife,
                options.fairness_definition,
            )
            for attribute, own in masks.items()
        },
        "calibration": calibrate(
            labels, scores, names, sweep.resampler, min(sweep.resamples, CALIBRATION_RESAMPLES)
        ),
        "survival": {
            name: survival(
                predictions,
                name,
                horizon_years=options.horizon_years,
                resampling=resampling.plain(),
            )
            for name in options.survival
        },
    }


def write_metrics(metrics: Evaluation, path: str | Path) -> None:
    """Write ``metrics.json``; the same metrics give the same bytes."""
    write_json(path, metrics, indent=1, strict=True)


def _findings(
    resampled: Resampled, names: Sequence[str], limits: np.ndarray, jackknife: int
) -> dict[str, Finding]:
    values = metric_values(resampled)
    findings = {
        name: {
            "n": int(resampled.n[j]),
            "n_positive": int(resampled.n_positive[j]),
            "threshold": float(limits[j]),
            "confusion": _confusion(resampled, j),
        }
        | {metric: interval(own[:, j], jackknife) for metric, own in values.items()}
        for j, name in enumerate(names)
    }
    return cast(dict[str, Finding], findings)


def _confusion(resampled: Resampled, j: int) -> Confusion:
    sums = resampled.tallies
    return {
        "true_positive": _count(sums.true_positive[0, j]),
        "false_negative": _count(sums.false_negative[0, j]),
        "false_positive": _count(sums.false_positive[0, j]),
        "true_negative": _count(sums.true_negative[0, j]),
    }


def _count(total: float) -> int | float:
    """A sum of records: whole unless they are weighted."""
    return int(total) if float(total).is_integer() else float(total)


def _macro(
    resampled: Resampled, findings: Sequence[int], jackknife: int
) -> dict[str, MacroEstimate]:
    columns = list(findings)
    both = resampled.tallies.both_classes()[:, columns]
    return {
        metric: macro_interval(values[:, columns], both, jackknife)
        for metric, values in metric_values(resampled).items()
    }


def _micro(pool: Resampled, jackknife: int) -> dict[str, Estimate]:
    return {
        metric: interval(values[:, 0], jackknife) for metric, values in metric_values(pool).items()
    }
