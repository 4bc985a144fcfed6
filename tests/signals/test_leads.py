"""Lead names and the derivation of limb leads."""

from itertools import combinations

import numpy as np
import pytest

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.leads import canonical_lead, to_standard
from deepecg_jax.signals.recording import SignalError


def limb_leads() -> np.ndarray:
    """Six limb leads of three electrode potentials, by their textbook definitions."""
    right, left, foot = np.random.default_rng(3).normal(size=(3, 50))
    return np.stack(
        [
            left - right,
            foot - right,
            foot - left,
            right - (left + foot) / 2,
            left - (right + foot) / 2,
            foot - (right + left) / 2,
        ],
        axis=1,
    )


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        *((lead, lead) for lead in STANDARD_LEADS),
        *((lead.lower(), lead) for lead in STANDARD_LEADS),
        *((lead.upper(), lead) for lead in STANDARD_LEADS),
        ("AVR", "aVR"),
        (" Lead I ", "I"),
        ("lead_II", "II"),
        ("ECG III", "III"),
        ("MDC_ECG_LEAD_AVF", "aVF"),
        ("MDC_ECG_LEAD_V3", "V3"),
        ("DII", "II"),
        ("C4", "V4"),
    ],
)
def test_true_synonyms(name, lead):
    assert canonical_lead(name) == lead


@pytest.mark.parametrize(
    "name",
    ["-aVR", "aVR-", "MLII", "ML5", "V3R", "V7", "vx", "vy", "CC5", "VR", "", "1", "lead", "I-II"],
)
def test_look_alikes_are_no_standard_lead(name):
    assert canonical_lead(name) is None


def test_reorders_by_name_and_drops_others():
    signal = np.random.default_rng(0).normal(size=(20, 14)).astype(np.float32)
    order = np.random.default_rng(1).permutation(12)
    names = ["vx", *(STANDARD_LEADS[i].upper() for i in order), "resp"]
    standard, mask = to_standard(signal, names)
    assert mask.all()
    assert standard.dtype == np.float32
    for column, lead in enumerate(order, start=1):
        np.testing.assert_array_equal(standard[:, lead], signal[:, column])


@pytest.mark.parametrize("pair", list(combinations(range(6), 2)))
def test_any_two_limb_leads_give_the_other_four(pair):
    limb = limb_leads()
    names = [STANDARD_LEADS[i] for i in pair]
    standard, mask = to_standard(limb[:, list(pair)], names)
    np.testing.assert_allclose(standard[:, :6], limb, atol=2e-6)
    assert mask.tolist() == [True] * 6 + [False] * 6
    assert not standard[:, 6:].any()


def test_recorded_leads_are_never_replaced_by_derived_ones():
    limb = limb_leads()
    limb[:, 2] += 1  # a recorded III that disagrees stays as recorded
    standard, _ = to_standard(limb[:, :3], ["I", "II", "III"])
    np.testing.assert_array_equal(standard[:, 2], limb[:, 2].astype(np.float32))


def test_one_limb_lead_derives_nothing():
    standard, mask = to_standard(limb_leads()[:, :1], ["II"])
    assert mask.tolist() == [False, True] + [False] * 10
    assert not standard[:, ~mask].any()


def test_derivation_can_be_switched_off():
    _, mask = to_standard(limb_leads()[:, :2], ["I", "II"], derive=False)
    assert mask.sum() == 2


def test_same_lead_twice_is_refused_with_both_names():
    with pytest.raises(SignalError, match="'AVR' and 'aVR'") as caught:
        to_standard(np.zeros((5, 3)), ["I", "AVR", "aVR"])
    assert caught.value.reason == "duplicate_lead"


def test_no_standard_lead_is_refused():
    with pytest.raises(SignalError, match="MLII") as caught:
        to_standard(np.zeros((5, 2)), ["MLII", "V7"])
    assert caught.value.reason == "missing_leads"
