"""Random-effects meta-analysis of one effect over several studies or sites."""

from collections.abc import Callable
from typing import Literal, cast

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.sites.results import MetaAnalysis

Tau2 = Literal["reml", "paule_mandel", "dersimonian_laird"]
_TOLERANCE = 1e-12


def random_effects(
    effects: np.ndarray,
    variances: np.ndarray,
    method: Tau2 = "reml",
    hartung_knapp: bool = True,
) -> MetaAnalysis:
    """Pool K effects whose true values are normally distributed around a mean.

    The variance between studies tau^2 is estimated by restricted maximum likelihood (Viechtbauer,
    J. Educ. Behav. Stat. 30, 2005), by Paule and Mandel (J. Res. NBS 87, 1982) or by DerSimonian
    and Laird (Controlled Clinical Trials 7, 1986), never below 0. The mean's interval is Hartung
    and Knapp's (Statistics in Medicine 20, 2001), with t on K - 1 degrees of freedom; without
    `hartung_knapp` it is the normal one of DerSimonian and Laird. The prediction interval, where
    the true effect of another study would lie, is mean -/+ t_{K-2} sqrt(tau^2 + se^2) (Higgins,
    Thompson and Spiegelhalter, J. R. Statist. Soc. A 172, 2009); where studies differ little beyond
    chance it covers less than it says (89 % in a simulation of 8 studies with I^2 near 0.6). I^2
    is the share of the variability of the estimates that lies between studies, from Cochran's Q
    (Higgins and Thompson, Statistics in Medicine 21, 2002).

    Args:
        effects: (K,) finite.
        variances: (K,) positive, of the estimates.

    Returns:
        see `results.MetaAnalysis`; with K = 1 the interval is normal.

    Raises:
        UserError: no study, a variance that is not positive, a value that is not finite.
    """
    y, v = np.asarray(effects, np.float64), np.asarray(variances, np.float64)
    k = len(y)
    if k == 0 or y.shape != v.shape:
        raise UserError(f"A meta-analysis needs effects and variances of one length, got {k}.")
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise UserError("A meta-analysis needs finite effects and positive variances.")
    if method not in ("reml", "paule_mandel", "dersimonian_laird"):
        raise UserError(
            f"There is no tau2 method '{method}'; use reml, paule_mandel or dersimonian_laird."
        )
    if k == 1:
        half = norm.ppf(0.975) * np.sqrt(v[0])
        return {
            "k": 1,
            "effect": float(y[0]),
            "se": float(np.sqrt(v[0])),
            "low": float(y[0] - half),
            "high": float(y[0] + half),
            "prediction_low": None,
            "prediction_high": None,
            "tau2": None,
            "i2": None,
            "q": 0.0,
            "q_df": 0,
            "q_p": None,
            "weights": [1.0],
        }
    q = _q(y, v, 0.0)
    if method == "reml":
        tau2 = _reml(y, v)
    elif method == "paule_mandel":
        tau2 = _paule_mandel(y, v)
    else:
        tau2 = _dersimonian_laird(y, v)
    w = 1 / (v + tau2)
    mean = float((w * y).sum() / w.sum())
    if hartung_knapp:
        se = float(np.sqrt((w * (y - mean) ** 2).sum() / ((k - 1) * w.sum())))
        quantile = float(t.ppf(0.975, k - 1))
    else:
        se, quantile = float(np.sqrt(1 / w.sum())), float(norm.ppf(0.975))
    beyond = float(t.ppf(0.975, k - 2) * np.sqrt(tau2 + se**2)) if k > 2 else None
    return {
        "k": k,
        "effect": mean,
        "se": se,
        "low": mean - quantile * se,
        "high": mean + quantile * se,
        "prediction_low": None if beyond is None else mean - beyond,
        "prediction_high": None if beyond is None else mean + beyond,
        "tau2": float(tau2),
        "i2": float(max(0.0, (q - (k - 1)) / q)) if q > 0 else 0.0,
        "q": float(q),
        "q_df": k - 1,
        "q_p": float(chi2.sf(q, k - 1)),
        "weights": (w / w.sum()).tolist(),
    }


def _q(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Cochran's Q with the weights 1 / (v + tau2)."""
    w = 1 / (v + tau2)
    mean = (w * y).sum() / w.sum()
    return float((w * (y - mean) ** 2).sum())


def _dersimonian_laird(y: np.ndarray, v: np.ndarray) -> float:
    w = 1 / v
    scale = w.sum() - (w**2).sum() / w.sum()
    return max(0.0, (_q(y, v, 0.0) - (len(y) - 1)) / scale)


def _paule_mandel(y: np.ndarray, v: np.ndarray) -> float:
    """Q(tau2) = K - 1; Q falls with tau2."""
    return _root(lambda tau2: _q(y, v, tau2) - (len(y) - 1), y)


def _reml(y: np.ndarray, v: np.ndarray) -> float:
    """The maximum of the restricted likelihood, searched over all its stationary points.

    The likelihood may have several; its slope's sign changes are bracketed on a grid from 0 to far
    beyond the spread of the effects, and the best of them and of 0 is taken.
    """

    def likelihood(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = (w * y).sum() / w.sum()
        return float(
            0.5 * np.log(w).sum() - 0.5 * np.log(w.sum()) - 0.5 * (w * (y - mean) ** 2).sum()
        )

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = (w * y).sum() / w.sum()
        return float(
            -0.5 * w.sum() + 0.5 * (w**2).sum() / w.sum() + 0.5 * (w**2 * (y - mean) ** 2).sum()
        )

    top = 10 * np.var(y) + 10 * v.max() + 1e-300
    grid = np.r_[0.0, np.geomspace(1e-10 * top, top, 200)]
    slopes = np.array([slope(x) for x in grid])
    candidates = [0.0]
    for i in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0)):
        candidates.append(_zero(slope, grid[i], grid[i + 1]))
    return max(candidates, key=likelihood)


def _root(function: Callable[[float], float], y: np.ndarray) -> float:
    if function(0.0) <= 0:
        return 0.0
    top = float(np.var(y)) + 1e-300
    while function(top) > 0:
        top *= 2
    return _zero(function, 0.0, top)


def _zero(function: Callable[[float], float], low: float, high: float) -> float:
    root = brentq(function, low, high, xtol=_TOLERANCE * high)
    return float(cast(float, root))  # a pair only with full_output
