"""Leads by name: synonyms, the standard order, and exact derivation of missing limb leads.

The six limb leads are linear functions of I and II (Einthoven 1913: III = II - I; Goldberger 1942:
aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2), so any two of them give the other four.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import SignalError

LIMB_LEADS: tuple[str, ...] = STANDARD_LEADS[:6]
# Row k: limb lead k as a combination of (I, II).
LIMB_FROM_I_II = np.array(
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]]
)

# Prefixes that vendors put before the plain name: "Lead I", "ECG II", "MDC_ECG_LEAD_aVR".
_PREFIX = re.compile(r"^(?:mdc_ecg_lead_|ecg[ _]?lead[ _]?|ecg[ _]|lead[ _]?)")
_NAMES: dict[str, str] = {lead.lower(): lead for lead in STANDARD_LEADS}
# "DI DII DIII": I, II, III in Latin countries; "C1".."C6": V1..V6 in IEC 60601-2-25.
_NAMES |= {"di": "I", "dii": "II", "diii": "III"}
_NAMES |= {f"c{number}": f"V{number}" for number in range(1, 7)}


@lru_cache(maxsize=1024)
def canonical_lead(name: str) -> str | None:
    """The standard name of a lead, or None if ``name`` is no true synonym of one.

    Case, surrounding blanks and vendor prefixes do not matter. Look-alikes with other voltages are
    None: "-aVR" (inverted), "MLII" (other electrode places), "VR" (not augmented), "V3R", "vx".
    """
    return _NAMES.get(_PREFIX.sub("", name.strip().lower()))


def standard_columns(names: Sequence[str]) -> dict[str, int]:
    """Standard lead -> column of ``names``; SignalError if two columns are the same lead."""
    return dict(_columns(tuple(names)))


@lru_cache(maxsize=256)
def _columns(names: tuple[str, ...]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for column, name in enumerate(names):
        lead = canonical_lead(name)
        if lead is None:
            continue
        if lead in columns:
            raise SignalError(
                "check",
                "duplicate_lead",
                f"lead {lead} occurs twice, as {names[columns[lead]]!r} and {name!r}.",
            )
        columns[lead] = column
    return columns


def to_standard(
    signal: np.ndarray, names: Sequence[str], derive: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Put a (T, L) signal with lead ``names`` into the standard order.

    Returns ``(standard (T, 12) float32, lead_mask (12,) bool)``. A limb lead that was not recorded
    is computed from two recorded limb leads (unless ``derive`` is false: per-lead normalised gains
    make the formulas wrong); every other missing lead is 0 and masked. Columns that are no
    standard lead are dropped. What is in the standard order already is not copied. SignalError:
    ``duplicate_lead``, or ``missing_leads`` if no column is a standard lead.
    """
    columns = standard_columns(names)
    if not columns:
        raise SignalError(
            "check",
            "missing_leads",
            f"none of the leads {', '.join(map(repr, names)) or '(none)'} is a standard ECG lead.",
        )
    mask = np.zeros(len(STANDARD_LEADS), bool)
    if tuple(columns) == STANDARD_LEADS and len(names) == len(STANDARD_LEADS):
        mask[:] = True
        return np.asarray(signal, np.float32), mask
    # Lead by lead in memory: every step of standardisation runs along time.
    standard = np.zeros((len(STANDARD_LEADS), signal.shape[0]), np.float32).T
    places = [STANDARD_LEADS.index(lead) for lead in columns]
    standard.T[places] = signal.T[list(columns.values())]
    mask[places] = True
    recorded = [index for index in range(6) if mask[index]]
    if derive and 2 <= len(recorded) < 6:
        missing = [index for index in range(6) if not mask[index]]
        first, second, predict = limb_predictor(tuple(recorded))
        pair = np.stack(
            [signal[:, columns[LIMB_LEADS[first]]], signal[:, columns[LIMB_LEADS[second]]]], axis=1
        )
        standard[:, missing] = pair.astype(np.float64) @ predict[missing].T
        mask[missing] = True
    return standard, mask


@lru_cache(maxsize=64)
def limb_predictor(present: tuple[int, ...]) -> tuple[int, int, np.ndarray]:
    """The two least parallel limb leads of ``present`` and all six as combinations of these.

    Indices and rows are in the order of LIMB_LEADS: lead k = predict[k] @ (first, second).
    """

    def independence(pair: tuple[int, int]) -> float:
        return round(abs(float(np.linalg.det(LIMB_FROM_I_II[list(pair)]))), 9)

    first, second = max(combinations(present, 2), key=independence)
    # (first, second) = C (I, II), hence lead k = C_k C^-1 (first, second)
    predict = LIMB_FROM_I_II @ np.linalg.inv(LIMB_FROM_I_II[[first, second]])
    predict.setflags(write=False)
    return first, second, predict
