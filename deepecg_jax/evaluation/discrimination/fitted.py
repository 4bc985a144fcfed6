"""Thresholds fitted on one predictions table and applied to another."""

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.optimism import threshold_optimism
from deepecg_jax.evaluation.discrimination.results import ThresholdFit
from deepecg_jax.evaluation.discrimination.thresholds import (
    ThresholdMethod,
    Thresholds,
    fit_thresholds,
    unfitted,
)
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import Predictions


def fit_for(
    fit: Predictions,
    source: str,
    test: Predictions,
    method: ThresholdMethod,
    resampling: Resampling,
) -> tuple[Thresholds, str]:
    """Fit on `fit` for a report on `test`.

    Args:
        fit: labelled predictions, best of a validation set.
        source: what they are called.
        test: what is reported.
        method: how thresholds are fitted.
        resampling: of the optimism, which is estimated where `fit` and `test` are the same data.

    Returns:
        the thresholds, and a warning when the fit and the report share patients, else "".

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
    about: ThresholdFit = {
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
        about["optimism"] = threshold_optimism(
            labels,
            scores,
            test.names,
            method,
            resampling.resampler(fit.patient_id),
            resampling.resamples,
            fit.weight,
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
    return Thresholds(values, line, about), warning
