"""Cox regression, log-rank and likelihood-ratio tests, fitted by lifelines."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.aggregate import number
from deepecg_jax.evaluation.survival.follow_up import EVENT


def cox(
    time: np.ndarray,
    event: np.ndarray,
    covariates: Mapping[str, np.ndarray],
    patient: np.ndarray | None,
) -> dict[str, Any]:
    """Hazard ratios by Cox's partial likelihood, ties by Efron's method.

    Competing events count as censorings (cause-specific hazards). Where a patient has several ECGs,
    standard errors are the sandwich over patients (Lin and Wei, JASA 84, 1989).

    Args:
        time, event: (M,) follow-up.
        covariates: name -> (M,); give them on the scale that a hazard ratio should refer to.
        patient: (M,) the patient of each ECG; ``None`` treats ECGs as independent.

    Returns:
        ``covariates``: name -> ``{hazard_ratio, low, high, p}`` (95 %, Wald), ``log_likelihood``,
        ``n``, ``n_events``, ``errors`` (``clustered by patient`` or ``independent records``); or
        only ``reason`` where there is no finite estimate.
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
    clustered = patient is not None and len(np.unique(patient)) < len(patient)
    if clustered:
        assert patient is not None
        frame["patient"] = np.unique(patient, return_inverse=True)[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", lifelines.exceptions.ConvergenceWarning)
            fit = lifelines.CoxPHFitter().fit(
                frame, "time", "event", cluster_col="patient" if clustered else None
            )
    except (
        lifelines.exceptions.ConvergenceError,
        lifelines.exceptions.ConvergenceWarning,
    ) as error:
        return {"reason": f"the fit did not converge: {str(error).strip().splitlines()[0]}"}
    summary = fit.summary
    found = {}
    for name, column in zip(covariates, names, strict=True):
        row = summary.loc[column]
        found[name] = {
            "hazard_ratio": float(row["exp(coef)"]),
            "low": float(row["exp(coef) lower 95%"]),
            "high": float(row["exp(coef) upper 95%"]),
            "p": float(row["p"]),
        }
    return {
        "covariates": found,
        "log_likelihood": float(fit.log_likelihood_),
        "n": len(time),
        "n_events": int(happened.sum()),
        "errors": "clustered by patient" if clustered else "independent records",
    }


def adding(
    time: np.ndarray,
    event: np.ndarray,
    base: Mapping[str, np.ndarray],
    added: Mapping[str, np.ndarray],
    patient: np.ndarray | None,
) -> dict[str, Any]:
    """Does a score say more than another already does?

    The likelihood-ratio test of two nested Cox models takes ECGs as independent; where patients
    have several, ``independent_records`` is false and ``p_wald`` (errors clustered by patient) is
    the test to quote.

    Returns:
        ``chi2``, ``df``, ``p_likelihood_ratio``, ``independent_records``, ``hazard_ratios`` (of the
        larger model, each ``{hazard_ratio, low, high, p}``); or only ``reason``.
    """
    from scipy.stats import chi2

    small = cox(time, event, base, patient)
    large = cox(time, event, {**base, **added}, patient)
    for fit in (small, large):
        if "reason" in fit:
            return {"reason": fit["reason"]}
    statistic = max(0.0, 2 * (large["log_likelihood"] - small["log_likelihood"]))
    return {
        "chi2": statistic,
        "df": len(added),
        "p_likelihood_ratio": float(chi2.sf(statistic, len(added))),
        "independent_records": large["errors"] == "independent records",
        "p_wald": large["covariates"][next(iter(added))]["p"] if len(added) == 1 else None,
        "hazard_ratios": large["covariates"],
    }


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """Log-rank test over groups; takes ECGs as independent, competing events as censorings.

    Returns:
        ``statistic``, ``df``, ``p``; ``None`` each with fewer than two groups.
    """
    groups = len(np.unique(group))
    if groups < 2:
        return {"statistic": None, "df": None, "p": None}
    _lifelines()
    from lifelines.statistics import multivariate_logrank_test

    result = multivariate_logrank_test(time, group, event == EVENT)
    return {
        "statistic": number(result.test_statistic),
        "df": groups - 1,
        "p": number(result.p_value),
    }


def _lifelines() -> Any:
    try:
        import lifelines
        import lifelines.exceptions
    except ImportError as error:
        raise UserError(
            "Survival analysis needs lifelines; install it with "
            "pip install 'deepecg_jax[survival]'."
        ) from error
    return lifelines
