"""Thresholds fitted on one predictions table and applied to another."""

from dataclasses import dataclass
from typing import Any

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.optimism import threshold_optimism
from deepecg_jax.evaluation.discrimination.thresholds import Method, fit_thresholds, unfitted
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.table.predictions import Predictions


@dataclass(frozen=True)
class FittedThresholds:
    """Thresholds and what must be said about how they came about.

    Attributes:
        values: finding -> threshold.
        about: ``method``, ``source``, ``n_records`` and ``unfitted`` of the fit, ``same_data``,
            ``shared_patients`` (patients of the fit who are also reported on), and ``optimism``
            when the data are the same.
        source: one line about the fit.
        warning: a sentence when the fit and the report share patients, else empty.
    """

    values: dict[str, float]
    about: dict[str, Any]
    source: str
    warning: str = ""


def fit_for(
    fit: Predictions,
    source: str,
    test: Predictions,
    method: Method,
    resamples: int,
    seed: int,
    cluster: str | None,
) -> FittedThresholds:
    """Fit on `fit` for a report on `test`.

    Raises:
        UserError: a finding of `test` is not in `fit`, or `fit` has no known label.
    """
    if not (fit.labels >= 0).any():
        raise UserError(f"{source} has no known label, so no threshold can be fitted on it.")
    missing = [name for name in test.names if name not in fit.names]
    if missing:
        raise UserError(f"{source} has no finding '{missing[0]}', so its threshold cannot be fit.")
    columns = [fit.names.index(name) for name in test.names]
    labels, scores = fit.labels[:, columns], fit.scores[:, columns]
    values = fit_thresholds(labels, scores, test.names, method, fit.weight)
    shared = (set(fit.patient_id) & set(test.patient_id)) - {""}
    same = len(fit) == len(test) and set(fit.record_id) == set(test.record_id)
    overlap = bool(shared) or bool(set(fit.record_id) & set(test.record_id))
    about: dict[str, Any] = {
        "method": str(method),
        "source": source,
        "n_records": len(fit),
        "unfitted": unfitted(labels, test.names),
        "same_data": same,
        "shared_patients": len(shared),
        "optimism": None,
    }
    warning = ""
    if same:
        make = Resampler.of_records(len(fit), seed)
        if cluster is not None:
            make = Resampler.of_patients(fit.patient_id, seed)
        about["optimism"] = threshold_optimism(
            labels, scores, test.names, method, make, resamples, fit.weight
        )
        warning = (
            "The thresholds are fitted on the data that are reported, so threshold metrics are too "
            "good; metrics.json holds the optimism and the corrected values."
        )
    elif overlap:
        warning = (
            f"{len(shared):,} patients of {source} are also in the reported data, so threshold "
            "metrics may be too good."
        )
    line = f"{method} on {source} ({len(fit):,} records)"
    return FittedThresholds(values, about, line, warning)
