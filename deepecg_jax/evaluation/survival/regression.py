"""Cox regression, log-rank and likelihood-ratio tests, fitted by lifelines."""

import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
from scipy.stats import chi2, norm

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.defined import number
from deepecg_jax.evaluation.resampling.intervals import NORMAL
from deepecg_jax.evaluation.survival.follow_up import EVENT
from deepecg_jax.evaluation.survival.results import (
    CoxFit,
    HazardRatio,
    LogRank,
    NestedTest,
    NoFit,
)
from deepecg_jax.evaluation.survival.score_residuals import by_patient, score_residuals


def cox(
    time: np.ndarray,
    event: np.ndarray,
    covariates: Mapping[str, np.ndarray],
    patient: np.ndarray | None,
) -> CoxFit | NoFit:
    """Hazard ratios by Cox's partial likelihood, ties by Efron's method.

    Competing events count as censorings (cause-specific hazards). Where a patient has several ECGs,
    standard errors are the sandwich over patients (Lin and Wei, JASA 84, 1989; `score_residuals`).

    Args:
        time, event: (M,) follow-up.
        covariates: name -> (M,); give them on the scale that a hazard ratio should refer to.
        patient: (M,) the patient of each ECG; ``None`` treats ECGs as independent.

    Returns:
        the fit, or only a ``reason`` where there is no finite estimate.
    """
    lifelines = _lifelines()
    import pandas as pd

    happened = event == EVENT
    for name, values in covariates.items():
        if values.min() == values.max():
            return {"reason": f"{name} is the same in every ECG"}
        if len(np.unique(values)) == 2:
            for value in np.unique(values):
                if not happened[values == value].any():
                    return {"reason": f"no event where {name} is {value:g}"}
    names = [f"x{i}" for i in range(len(covariates))]
    frame = pd.DataFrame(dict(zip(names, covariates.values(), strict=True)))
    frame["time"], frame["event"] = time, happened
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", lifelines.exceptions.ConvergenceWarning)
            # records of one day in one go, where days are few: several times faster
            by_day = True if len(np.unique(time)) < len(time) / 4 else None
            fit = lifelines.CoxPHFitter().fit(frame, "time", "event", batch_mode=by_day)
    except (
        lifelines.exceptions.ConvergenceError,
        lifelines.exceptions.ConvergenceWarning,
    ) as error:
        return {"reason": f"the fit did not converge: {str(error).strip().splitlines()[0]}"}
    beta, covariance = fit.params_.to_numpy(), fit.variance_matrix_.to_numpy()
    clustered = patient is not None and len(np.unique(patient)) < len(patient)
    if patient is not None and clustered:
        # not lifelines' own, whose cost grows with the square of the number of records
        design = np.stack(list(covariates.values()), axis=1).astype(np.float64)
        summed = by_patient(score_residuals(time, happened, design, beta), patient)
        covariance = covariance @ (summed.T @ summed) @ covariance
    found: dict[str, HazardRatio] = {}
    for name, coefficient, variance in zip(covariates, beta, np.diag(covariance), strict=True):
        error = np.sqrt(variance)
        found[name] = {
            "hazard_ratio": float(np.exp(coefficient)),
            "low": float(np.exp(coefficient - NORMAL * error)),
            "high": float(np.exp(coefficient + NORMAL * error)),
            "p": float(2 * norm.sf(abs(coefficient) / error)),
        }
    return {
        "covariates": found,
        "coefficients": beta.tolist(),
        "covariance": covariance.tolist(),
        "log_likelihood": float(fit.log_likelihood_),
        "n": len(time),
        "n_events": int(happened.sum()),
        "errors": "clustered by patient" if clustered else "independent records",
    }


def nested(
    small: CoxFit | NoFit, large: CoxFit | NoFit, added: Sequence[str]
) -> NestedTest | NoFit:
    """Does what is added say more than the rest already does?

    Args:
        small, large: two fits of `cox` on the same records.
        added: the covariates that only the larger has.
    """
    if "reason" in small:
        return {"reason": small["reason"]}
    if "reason" in large:
        return {"reason": large["reason"]}
    statistic = max(0.0, 2 * (large["log_likelihood"] - small["log_likelihood"]))
    at = [list(large["covariates"]).index(name) for name in added]
    coefficients = np.array(large["coefficients"])[at]
    covariance = np.array(large["covariance"])[np.ix_(at, at)]
    wald = float(coefficients @ np.linalg.solve(covariance, coefficients))
    return {
        "chi2": statistic,
        "df": len(added),
        "p_likelihood_ratio": float(chi2.sf(statistic, len(added))),
        "independent_records": large["errors"] == "independent records",
        "wald_chi2": wald,
        "p_wald": float(chi2.sf(wald, len(added))),
        "wald_errors": large["errors"],
        "hazard_ratios": large["covariates"],
    }


def log_rank(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, patient: np.ndarray | None = None
) -> LogRank:
    """Log-rank test over groups, competing events as censorings.

    The usual test takes ECGs as independent. Where patients have several, the one to quote is
    ``p_clustered``: the same observed minus expected events, over their variance between patients
    (the robust score test of Cox's model at a hazard ratio of 1, see `score_residuals`).

    Args:
        time, event: (M,) follow-up.
        group: (M,) whole numbers.
        patient: (M,) the patient of each ECG; ``None`` leaves the second test out.

    Returns:
        both tests, ``None`` where there is none.
    """
    codes = np.unique(group)
    result: LogRank = {
        "statistic": None,
        "df": None,
        "p": None,
        "statistic_clustered": None,
        "p_clustered": None,
    }
    if len(codes) < 2:
        return result
    _lifelines()
    from lifelines.statistics import multivariate_logrank_test

    happened = event == EVENT
    usual = multivariate_logrank_test(time, group, happened)
    result["statistic"], result["p"] = number(usual.test_statistic), number(usual.p_value)
    result["df"] = len(codes) - 1
    if patient is not None:
        design = (group[:, None] == codes[1:]).astype(np.float64)
        none = np.zeros(design.shape[1])
        summed = by_patient(score_residuals(time, happened, design, none, "breslow"), patient)
        variance, gap = summed.T @ summed, summed.sum(axis=0)
        if np.linalg.matrix_rank(variance) == len(gap):
            statistic = float(gap @ np.linalg.solve(variance, gap))
            result["statistic_clustered"] = statistic
            result["p_clustered"] = float(chi2.sf(statistic, len(gap)))
    return result


def _lifelines() -> ModuleType:
    try:
        import lifelines
        import lifelines.exceptions
    except ImportError as error:
        raise UserError(
            "Survival analysis needs lifelines; install it with "
            "pip install 'deepecg_jax[survival]'."
        ) from error
    return lifelines
