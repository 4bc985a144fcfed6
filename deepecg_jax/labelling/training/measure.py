"""How well a trained classifier labels reports: what its ``metrics.json`` says."""

from typing import Any

import numpy as np

from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.tallies import Tallies, tally
from deepecg_jax.labelling.training.data import LabelledReports
from deepecg_jax.training.validation import auroc_by_label


def measure(labels: np.ndarray, scores: np.ndarray, thresholds: dict[str, float]) -> dict[str, Any]:
    """How well N reports are labelled, over known labels.

    labels: (N, C) of 1, 0, -1; scores: (N, C); thresholds in the order of the columns.

    Returns:
        ``n_reports``, ``micro`` (over all labels of all reports) and ``macro`` (the mean over
        labels with both classes) with ``f1`` and more, and ``labels``.
    """
    counts = np.ones((len(labels), 1), np.uint8)
    sums = tally(counts, labels, scores, np.array(list(thresholds.values())))
    auroc = auroc_by_label(labels, scores, list(thresholds))
    by_label = _ratios(sums)
    both = sums.both_classes()[0]
    pooled = _ratios(sums.pooled(np.arange(labels.shape[1])))
    return {
        "n_reports": len(labels),
        "micro": {name: float(values[0]) for name, values in pooled.items()},
        "macro": {
            "auroc": float(np.mean([value for value in auroc.values() if value == value])),
            **{
                name: float(np.nanmean(np.where(both, values, np.nan)))
                for name, values in by_label.items()
            },
        },
        "labels": {
            name: {
                "n_positive": int(sums.positive[0, j]),
                "threshold": thresholds[name],
                "auroc": auroc[name],
                **{key: float(values[j]) for key, values in by_label.items()},
            }
            for j, name in enumerate(thresholds)
        },
    }


def _ratios(sums: Tallies) -> dict[str, np.ndarray]:
    found = metric_values(Resampled.of_sums(sums))
    names = {"f1": "f1", "precision": "ppv", "recall": "sensitivity"}
    return {name: found[key][0] for name, key in names.items()}


def measure_test(
    data: LabelledReports, scores: np.ndarray, thresholds: dict[str, float]
) -> dict[str, Any]:
    """The test split, and apart from it the texts that no training report has word for word."""
    texts, labels = data.split("test")
    result = measure(labels, scores, thresholds)
    seen = set(data.split("train")[0])
    new = np.array([text not in seen for text in texts], bool)
    result["n_texts_not_in_training"] = int(new.sum())
    if new.any():
        own = measure(labels[new], scores[new], thresholds)
        result["texts_not_in_training"] = {key: own[key] for key in ("n_reports", "micro", "macro")}
    return result
