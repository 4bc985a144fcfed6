"""From a predictions table to ``metrics.json``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.aggregate import interval, macro_interval
from deepecg_jax.evaluation.bootstrap import Resampled, bootstrap
from deepecg_jax.evaluation.calibration import calibrate
from deepecg_jax.evaluation.fairness import compare_groups, groups_of
from deepecg_jax.evaluation.predictions import Predictions
from deepecg_jax.evaluation.resampling import Resampler
from deepecg_jax.evaluation.threshold_metrics import METRICS, all_metrics
from deepecg_jax.evaluation.thresholds import DEFAULT, align_thresholds
from deepecg_jax.labels.findings import CATEGORIES

SCHEMA = 1
OTHER = "other"
_ALL = ""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and where they come from.

    Attributes:
        values: finding -> threshold; ``None`` means 0.5 for every finding.
        source: what the report says about them.
    """

    values: dict[str, float] | None = None
    source: str = f"{DEFAULT} (none given)"


def category_members(names: Sequence[str]) -> dict[str, list[int]]:
    """Which findings (as indices) belong to which category, categories without findings left out.

    The six DeepECG categories come first. A name such as ``superclass:NORM`` belongs to the
    category ``superclass``, any further name to ``other``. A finding may be in two categories.
    """
    members: dict[str, list[int]] = {category: [] for category in CATEGORIES}
    for j, name in enumerate(names):
        homes = [category for category, findings in CATEGORIES.items() if name in findings]
        if not homes:
            prefix, colon, _ = name.partition(":")
            homes = [(prefix if colon else "") or OTHER]
        for home in homes:
            members.setdefault(home, []).append(j)
    return {category: findings for category, findings in members.items() if findings}


def evaluate(
    predictions: Predictions,
    thresholds: Thresholds | None = None,
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
) -> dict[str, Any]:
    """Everything that ``metrics.json`` holds.

    Args:
        predictions: the table.
        thresholds: fixed from elsewhere (validation data); 0.5 if not given.
        resamples: bootstrap resamples.
        seed: of the resampling.
        cluster: ``patient_id`` resamples whole patients, ``None`` single records.

    Raises:
        UserError: no finding has a known label, a threshold is missing, or a record has no patient.
    """
    thresholds = thresholds or Thresholds()
    names, labels, scores = predictions.names, predictions.labels, predictions.scores
    if not (labels >= 0).any():
        raise UserError("No finding has a known label, so there is nothing to evaluate.")
    if resamples < 1:
        raise UserError(f"resamples is {resamples}; at least 1 is needed for an interval.")
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or more.")
    if cluster not in (None, "patient_id"):
        raise UserError(f"cluster is '{cluster}'; use patient_id or none.")
    if thresholds.values is None:
        limits = np.full(len(names), DEFAULT)
    else:
        limits = align_thresholds(thresholds.values, names, thresholds.source)
    if cluster is None:
        resampler = Resampler.of_records(len(predictions), seed)
    else:
        resampler = Resampler.of_patients(predictions.patient_id, seed)

    categories = category_members(names)
    masks = groups_of(predictions)
    result = bootstrap(
        labels,
        scores,
        limits,
        resampler,
        resamples,
        pools={_ALL: range(len(names))} | categories,
        groups={f"{a}/{g}": mask for a, groups in masks.items() for g, mask in groups.items()},
    )
    return {
        "schema": SCHEMA,
        "n_records": len(predictions),
        "n_patients": len(set(predictions.patient_id) - {""}),
        "resamples": resamples,
        "seed": seed,
        "cluster": cluster,
        "thresholds": thresholds.source,
        "findings": _findings(result.findings, names, limits),
        "macro": _macro(result.findings, list(range(len(names)))),
        "micro": _micro(result.pools[_ALL]),
        "categories": {
            category: {
                "macro": _macro(result.findings, findings),
                "micro": _micro(result.pools[category]),
                "findings": [names[j] for j in findings],
            }
            for category, findings in categories.items()
        },
        "fairness": {
            attribute: compare_groups(
                groups, {g: result.groups[f"{attribute}/{g}"] for g in groups}, names
            )
            for attribute, groups in masks.items()
        },
        "calibration": calibrate(labels, scores, names),
        "survival": {},
    }


def write_metrics(metrics: dict[str, Any], path: str | Path) -> None:
    """Write the metrics as JSON; the same metrics give the same bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _findings(
    resampled: Resampled, names: Sequence[str], limits: np.ndarray
) -> dict[str, dict[str, Any]]:
    values = all_metrics(resampled)
    sums = resampled.tallies
    return {
        name: {
            "n": int(sums.known[0, j]),
            "n_positive": int(sums.positive[0, j]),
            "threshold": float(limits[j]),
        }
        | {metric: interval(values[metric][:, j]) for metric in METRICS}
        for j, name in enumerate(names)
    }


def _macro(resampled: Resampled, findings: list[int]) -> dict[str, Any]:
    both = resampled.tallies.both_classes()[:, findings]
    values = all_metrics(resampled)
    return {metric: macro_interval(values[metric][:, findings], both) for metric in METRICS}


def _micro(pool: Resampled) -> dict[str, Any]:
    return {metric: interval(values[:, 0]) for metric, values in all_metrics(pool).items()}
