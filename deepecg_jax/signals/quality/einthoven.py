"""Do the six limb leads belong together? Einthoven's and Goldberger's equations as a check.

III = II - I (Einthoven 1913); aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2 (Goldberger 1942).

Two tests. *Exact gains*: every limb lead is predicted from two others; the residual is relative to
those two. *Free gains*: leads that someone normalised one by one (z-score, maximum) obey the
equations only up to positive gains g. With r = g_II / g_I the direction of every lead in the plane
of the recorded I and II is known up to its own gain,

    III ~ II - r I,   aVR ~ -(II + r I),   aVL ~ 2 r I - II,   aVF ~ 2 II - r I,

so one number r has to serve all of them, each with a positive correlation rho; the residual is
1 - rho^2 of the worst lead at the best r. It is accepted only from leads that look normalised.

Measured on 51 ECGs in mV (CinC 2021, PTB) and 1,624 z-scored ones (PTB-XL): genuine records have
an exact residual up to 0.013 and, z-scored, a gain-free residual up to 0.0007; after the swap of
any two limb leads the exact residual is at least 0.09, and the gain-free one exceeds the limit,
except in 0.25 % of the III/aVF swaps (the two are nearly parallel when lead I is small).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deepecg_jax.signals.leads import LIMB_LEADS, limb_predictor
from deepecg_jax.signals.recording import SignalError

# Direction of III, aVR, aVL, aVF in (recorded I, recorded II): (coefficient of I per r, of II).
_DIRECTIONS = np.array([[-1.0, 1.0], [-1.0, -1.0], [2.0, -1.0], [-1.0, 2.0]])
_TINY = float(np.finfo(float).tiny)


def _powers(reach: float, count: int) -> np.ndarray:
    """1, r and r^2 (3, count) for gain ratios r from 1 / reach to reach."""
    ratios = np.exp(math.log(reach) * np.linspace(-1, 1, count))
    return np.stack([np.ones(count), ratios, ratios * ratios])


# The second pass looks closely at two steps of the first to either side of its best ratio.
_SEARCH = _powers(20.0, 401), _powers(20.0 ** (1 / 100), 401)
_EQUAL_GAINS = (np.ones((3, 1)),)


@dataclass(frozen=True)
class EinthovenLimits:
    """Largest residuals (fractions) that a consistent set of limb leads may have.

    ``spread``: leads whose standard deviations, or whose largest absolute values, differ by no
    more than this factor count as normalised one by one and are held to ``gain_free`` instead.
    """

    exact: float = 0.08
    floor: float = 0.01
    """mV; a residual below it is rounding of small leads, whatever its share."""
    gain_free: float = 0.004
    spread: float = 1.25


def check_limb_leads(
    leads: dict[str, np.ndarray], normalised: bool, limits: EinthovenLimits | None
) -> dict[str, float | bool]:
    """Residuals of ``leads`` (standard name -> (T,) samples), SignalError ``einthoven`` if large.

    ``normalised``: the leads are about equally large (see :func:`look_normalised`), so that free
    gains are plausible. Returns ``einthoven_residual``, ``einthoven_gain_free_residual`` (NaN if
    they cannot be computed) and ``lead_gains_normalised`` (the equations hold, but only with free
    gains).
    """
    present = [index for index, name in enumerate(LIMB_LEADS) if name in leads]
    result: dict[str, float | bool] = {
        "einthoven_residual": math.nan,
        "einthoven_gain_free_residual": math.nan,
        "lead_gains_normalised": False,
    }
    if len(present) < 3:
        return result
    n_samples = len(leads[LIMB_LEADS[present[0]]])
    gram = _centred_gram(np.array([leads[LIMB_LEADS[index]] for index in present], np.float64))
    squares, scale = _exact_residual(gram, tuple(present))
    worst = present[int(squares.argmax())]
    exact = math.sqrt(squares.max() / scale)
    absolute = math.sqrt(squares.max() / n_samples)
    limits_or_default = limits or EinthovenLimits()
    holds = exact <= limits_or_default.exact or absolute <= limits_or_default.floor
    free, worst_free = _gain_free_residual(gram, present, search=not holds)
    result["einthoven_residual"] = exact
    result["einthoven_gain_free_residual"] = free
    if limits is None or holds:
        return result
    if normalised:
        if not free > limits.gain_free:  # NaN: without I and II there is nothing to test
            result["lead_gains_normalised"] = True
            return result
        exact, worst = free, worst_free
    raise SignalError(
        "check",
        "einthoven",
        f"the limb leads contradict each other (residual {exact:.1%}, largest in "
        f"{LIMB_LEADS[worst]}): some are swapped, inverted or mislabelled, or one is broken.",
    )


def look_normalised(std: np.ndarray, peak: np.ndarray, spread: float) -> bool:
    """Whether leads with these deviations and largest absolute values were scaled one by one."""
    return bool(std.max() <= spread * std.min() or peak.max() <= spread * peak.min())


def _centred_gram(signal: np.ndarray) -> np.ndarray:
    """Inner products (L, L) of the rows of (L, T) float64, each without its mean."""
    mean = np.add.reduce(signal, axis=1) / signal.shape[1]
    signal -= mean[:, None]
    return signal @ signal.T


def _exact_residual(gram: np.ndarray, present: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Sum of squares of every lead's residual, and of the two leads that predict it."""
    difference, scales = _differences(present)
    squares = ((difference @ gram) * difference).sum(axis=1)
    scale = float(gram.diagonal() @ scales)
    return np.maximum(squares, 0), max(scale, _TINY)


@lru_cache(maxsize=64)
def _differences(present: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(L, L): lead minus its prediction from two leads; (L,): 1 at these two."""
    a, b, predict = limb_predictor(present)
    pair = [present.index(a), present.index(b)]
    difference, scales = np.eye(len(present)), np.zeros(len(present))
    difference[:, pair] -= predict[list(present)]
    scales[pair] = 1.0
    return difference, scales


def _gain_free_residual(gram: np.ndarray, present: list[int], search: bool) -> tuple[float, int]:
    """Residual of the worst lead at the best common gain ratio; NaN without I and II.

    ``search`` false: at equal gains, which is where the best ratio lies when the equations hold.
    With u = i r I + j II the direction of a lead x, rho = <u, x> / (|u| |x|): its numerator is
    linear in r, its squared denominator quadratic.
    """
    if present[:2] != [0, 1]:
        return math.nan, present[0]
    dependent = present[2:]
    i, j = _DIRECTIONS[[index - 2 for index in dependent]].T
    (i_i, i_ii), ii_ii = gram[0, :2], gram[1, 1]
    along = np.stack([j * gram[1, 2:], i * gram[0, 2:]], axis=1)
    norm = np.stack([j * j * ii_ii, 2 * i * j * i_ii, i * i * i_i], axis=1)
    norm *= gram.diagonal()[2:, None]
    centre, squared, best = 1.0, np.zeros((len(dependent), 1)), 0
    for powers in _SEARCH if search else _EQUAL_GAINS:
        scale = np.array([1.0, centre, centre * centre])
        forward = np.maximum((along * scale[:2]) @ powers[:2], 0)
        squared = forward * forward / np.maximum((norm * scale) @ powers, _TINY)
        best = int(squared.min(axis=0).argmax())
        centre *= float(powers[1, best])
    residual = 1 - np.minimum(squared[:, best], 1)
    worst = int(residual.argmax())
    return float(residual[worst]), dependent[worst]
