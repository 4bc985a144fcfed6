"""CHARGE-AF by hand, and refusals of wrong units."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.survival.charge_af import INPUTS, charge_af

PERSON = {
    "age": 70,
    "white": 1,
    "height_cm": 175,
    "weight_kg": 80,
    "systolic_mmhg": 140,
    "diastolic_mmhg": 80,
    "current_smoker": 0,
    "antihypertensive": 1,
    "diabetes": 0,
    "heart_failure": 0,
    "myocardial_infarction": 1,
}


def test_by_hand():
    """14 x 0.508 + 0.465 + 17.5 x 0.248 + 5.333 x 0.115 + 7 x 0.197 - 8 x 0.101 + 0.349 + 0.496"""
    found = charge_af({name: np.array([value]) for name, value in PERSON.items()})
    assert found.linear_predictor[0] == pytest.approx(13.946333, abs=1e-6)
    assert found.risk[0] == pytest.approx(1 - 0.9718412736 ** np.exp(13.946333 - 12.58156), 1e-6)
    assert found.risk[0] == pytest.approx(0.1058, abs=2e-4)


def test_every_input_moves_the_risk_and_a_missing_one_hides_it():
    base = charge_af(PERSON)
    for name, item in INPUTS.items():
        step = item.per if item.unit != "0 or 1" else 1 - 2 * PERSON[name]
        moved = charge_af(PERSON | {name: PERSON[name] + step})
        change = moved.linear_predictor - base.linear_predictor
        assert change == pytest.approx(item.coefficient * step / item.per)
        assert np.isnan(charge_af(PERSON | {name: np.nan}).risk)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("height_cm", 1.75, "height_cm is 1.75, outside 100 to 250 cm; is it in metres"),
        ("weight_kg", 800, "weight_kg is 800"),
        ("systolic_mmhg", 18, "systolic_mmhg is 18, outside 50 to 300 mmHg; is it in kPa"),
        ("age", 3, "age is 3"),
        ("diabetes", 2, "diabetes is 2; it must be 0"),
    ],
)
def test_wrong_units_are_refused(name, value, words):
    with pytest.raises(UserError, match=words):
        charge_af(PERSON | {name: value})


def test_missing_inputs_are_named():
    with pytest.raises(UserError, match=r"needs white, diabetes too; its inputs are age \(years\)"):
        charge_af({k: v for k, v in PERSON.items() if k not in ("white", "diabetes")})
