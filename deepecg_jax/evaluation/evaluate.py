"""From a predictions table to ``metrics.json``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.calibrate import calibrate
from deepecg_jax.evaluation.discrimination.threshold_metrics import METRICS, all_metrics
from deepecg_jax.evaluation.discrimination.thresholds import DEFAULT, align_thresholds
from deepecg_jax.evaluation.fairness.gaps import Definition, compare_groups
from deepecg_jax.evaluation.resampling.bootstrap import Resampled, bootstrap
from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep
from deepecg_jax.evaluation.resampling.intervals import IntervalMethod, interval, macro_interval
from deepecg_jax.evaluation.survival.analysis import survival
from deepecg_jax.evaluation.table.finding_sets import category_members, group_members
from deepecg_jax.evaluation.table.grouping import column, groups_of
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1
CALIBRATION_RESAMPLES = 200
"""At most so many for calibration, whose smooth curves cost more than all the rest."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and where they come from.

    Attributes:
        values: finding -> threshold; ``None`` means 0.5 for every finding.
        source: what the report says about them.
        fit: how they were fitted, if this run fitted them (see `threshold_fit`).
    """

    values: dict[str, float] | None = None
    source: str = f"{DEFAULT} (none given)"
    fit: dict[str, Any] | None = None


@dataclass(frozen=True)
class Options:
    """What `evaluate` can do beyond its defaults.

    Attributes:
        interval: ``percentile``, or ``bca`` (bias-corrected and accelerated).
        stratify: a column within whose values patients are drawn, such as ``site``.
        groups: name -> findings, further sets to average over.
        by: further columns whose groups are compared, such as ``site`` or ``device``.
        fairness_definition: ``range``, or ``original`` (see `fairness`).
        devices: spread the resamples over these devices.
        survival: findings or columns whose scores are held against ``time_days`` and ``event``.
        horizon_years: how far the survival analysis looks.
    """

    interval: IntervalMethod = "percentile"
    stratify: str | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by: Sequence[str] = ()
    fairness_definition: Definition = "range"
    devices: Devices | None = None
    survival: Sequence[str] = ()
    horizon_years: float = 5.0


def evaluate(
    predictions: Predictions,
    thresholds: Thresholds | None = None,
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
    options: Options | None = None,
) -> dict[str, Any]:
    """Everything that ``metrics.json`` holds.

    Args:
        predictions: the table.
        thresholds: fixed from elsewhere (validation data); 0.5 if not given.
        resamples: bootstrap resamples.
        seed: of the resampling.
        cluster: ``patient_id`` resamples whole patients, ``None`` single records.
        options: everything else.

    Raises:
        UserError: no finding has a known label, a threshold is missing, a record has no patient, or
            an option names a column or a finding that is not there.
    """
    thresholds, options = thresholds or Thresholds(), options or Options()
    names, labels, scores = predictions.names, predictions.labels, predictions.scores
    if not (labels >= 0).any():
        raise UserError("No finding has a known label, so there is nothing to evaluate.")
    if options.interval not in ("percentile", "bca"):
        raise UserError(f"interval is '{options.interval}'; use percentile or bca.")
    if thresholds.values is None:
        limits = np.full(len(names), DEFAULT)
    else:
        limits = align_thresholds(thresholds.values, names, thresholds.source)
    sweep, strata = make_sweep(
        predictions, resamples, seed, cluster, options.stratify, options.interval == "bca"
    )
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
        devices=options.devices,
    )
    jackknife = sweep.jackknife_rows

    def averages(members: dict[str, list[int]], kind: str) -> dict[str, Any]:
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
        "n_patients": sweep.resampler.n_clusters if cluster else predictions.n_patients,
        "resamples": resamples,
        "seed": seed,
        "cluster": cluster,
        "interval": options.interval,
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
            labels, scores, names, sweep.resampler, min(resamples, CALIBRATION_RESAMPLES)
        ),
        "survival": {
            name: survival(
                predictions,
                name,
                horizon_years=options.horizon_years,
                resamples=resamples,
                seed=seed,
                cluster=cluster,
            )
            for name in options.survival
        },
    }


def make_sweep(
    predictions: Predictions,
    resamples: int,
    seed: int,
    cluster: str | None,
    stratify: str | None = None,
    with_jackknife: bool = False,
) -> tuple[Sweep, dict[str, Any] | None]:
    """The resamples of a table, and what ``metrics.json`` says about their strata.

    Raises:
        UserError: an argument is out of range, or a record has no patient.
    """
    if resamples < 1:
        raise UserError(f"resamples is {resamples}; at least 1 is needed for an interval.")
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or more.")
    if cluster not in (None, "patient_id"):
        raise UserError(f"cluster is '{cluster}'; use patient_id or none.")
    if cluster is None:
        resampler = Resampler.of_records(len(predictions), seed)
    else:
        resampler = Resampler.of_patients(predictions.patient_id, seed)
    strata = None
    if stratify is not None:
        if stratify == cluster:
            raise UserError(f"Cannot stratify by {stratify}, which is what is drawn.")
        resampler, about = resampler.stratified(column(predictions, stratify))
        strata = {"column": stratify} | about
    return Sweep(resampler, resamples, with_jackknife), strata


def write_metrics(metrics: dict[str, Any], path: str | Path) -> None:
    """Write the metrics as JSON; the same metrics give the same bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _findings(
    resampled: Resampled, names: Sequence[str], limits: np.ndarray, jackknife: int
) -> dict[str, dict[str, Any]]:
    values = all_metrics(resampled)
    return {
        name: {
            "n": int(resampled.n[j]),
            "n_positive": int(resampled.n_positive[j]),
            "threshold": float(limits[j]),
            "confusion": {
                cell: _count(getattr(resampled.tallies, cell)[0, j])
                for cell in ("true_positive", "false_negative", "false_positive", "true_negative")
            },
        }
        | {metric: interval(values[metric][:, j], jackknife) for metric in METRICS}
        for j, name in enumerate(names)
    }


def _count(total: float) -> int | float:
    """A sum of records: whole unless they are weighted."""
    return int(total) if float(total).is_integer() else float(total)


def _macro(resampled: Resampled, findings: list[int], jackknife: int) -> dict[str, Any]:
    both = resampled.tallies.both_classes()[:, findings]
    values = all_metrics(resampled)
    return {
        metric: macro_interval(values[metric][:, findings], both, jackknife) for metric in METRICS
    }


def _micro(pool: Resampled, jackknife: int) -> dict[str, Any]:
    return {
        metric: interval(values[:, 0], jackknife) for metric, values in all_metrics(pool).items()
    }
