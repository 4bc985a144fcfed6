"""CHARGE-AF: the clinical five-year risk of atrial fibrillation that an ECG score is held against.

The simple model of Alonso et al. (J. Am. Heart Assoc. 2, 2013), derived at ages 46 to 94:
risk = 1 - 0.9718412736 ^ exp(lp - 12.58156).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from deepecg_jax.errors import UserError

BASELINE_SURVIVAL = 0.9718412736
MEAN_PREDICTOR = 12.58156


class _Input(NamedTuple):
    coefficient: float
    per: float
    low: float
    high: float
    unit: str
    hint: str


INPUTS: dict[str, _Input] = {
    "age": _Input(0.508, 5, 18, 120, "years", "ages are years"),
    "white": _Input(0.465, 1, 0, 1, "0 or 1", ""),
    "height_cm": _Input(0.248, 10, 100, 250, "cm", "is it in metres or inches?"),
    "weight_kg": _Input(0.115, 15, 20, 350, "kg", "is it in pounds or grams?"),
    "systolic_mmhg": _Input(0.197, 20, 50, 300, "mmHg", "is it in kPa?"),
    "diastolic_mmhg": _Input(-0.101, 10, 20, 200, "mmHg", "is it in kPa?"),
    "current_smoker": _Input(0.359, 1, 0, 1, "0 or 1", ""),
    "antihypertensive": _Input(0.349, 1, 0, 1, "0 or 1", ""),
    "diabetes": _Input(0.237, 1, 0, 1, "0 or 1", ""),
    "heart_failure": _Input(0.701, 1, 0, 1, "0 or 1", ""),
    "myocardial_infarction": _Input(0.496, 1, 0, 1, "0 or 1", ""),
}
"""Input -> coefficient, the unit step it is for, and what is plausible."""


class ChargeAF(NamedTuple):
    """Linear predictor and five-year risk, each (N,) float64, NaN where an input is missing."""

    linear_predictor: np.ndarray
    risk: np.ndarray


def charge_af(inputs: Mapping[str, ArrayLike]) -> ChargeAF:
    """CHARGE-AF of N people.

    Args:
        inputs: every name of `INPUTS` -> (N,) numbers in its unit, NaN unknown.

    Raises:
        UserError: an input is missing, or outside its plausible range (wrong units), or a yes/no is
            neither 0 nor 1.
    """
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise UserError(
            f"CHARGE-AF needs {', '.join(missing)} too; its inputs are "
            + ", ".join(f"{name} ({item.unit})" for name, item in INPUTS.items())
            + "."
        )
    total: np.ndarray | float = 0.0
    for name, item in INPUTS.items():
        values = np.asarray(inputs[name], np.float64)
        _check(name, item, values)
        total = total + item.coefficient * values / item.per
    predictor = np.asarray(total, np.float64)
    return ChargeAF(
        predictor, -np.expm1(np.exp(predictor - MEAN_PREDICTOR) * np.log(BASELINE_SURVIVAL))
    )


def _check(name: str, item: _Input, values: np.ndarray) -> None:
    known = values[~np.isnan(values)]
    if item.unit == "0 or 1":
        wrong = known[~np.isin(known, (0, 1))]
        if len(wrong):
            raise UserError(f"CHARGE-AF: {name} is {wrong[0]:g}; it must be 0 (no) or 1 (yes).")
        return
    wrong = known[(known < item.low) | (known > item.high)]
    if len(wrong):
        raise UserError(
            f"CHARGE-AF: {name} is {wrong[0]:g}, outside {item.low:g} to {item.high:g} "
            f"{item.unit}; {item.hint}"
        )
