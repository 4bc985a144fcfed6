"""The findings of a generated recording, read off the beats that were drawn.

Names are those of the 77 findings where the list has one; `Sinus tachycardia` and `Normal` are not
in it.
"""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.signals.synthetic.morphology import Beats, clean_qrs
from deepecg_jax.signals.synthetic.patients import Traits
from deepecg_jax.signals.synthetic.rhythm import ATRIAL_EARLY, ECTOPIC, Rhythm

FINDINGS: tuple[str, ...] = (
    "Sinusal",
    "Regular",
    "Irregularly irregular",
    "Bradycardia",
    "Sinus tachycardia",
    "Afib",
    "Premature ventricular complex",
    "Premature atrial complex",
    "1st degree AV block",
    "Left bundle branch block",
    "Right bundle branch block",
    "Left axis deviation",
    "Right axis deviation",
    "Left ventricular hypertrophy",
    "SV1 + RV5 or RV6 > 35 mm",
    "Low voltage",
    "ST elevation (inferior - II, III, aVF)",
    "ST elevation (anterior - V3-V4)",
    "Prolonged QT",
    "Ventricular paced",
    "Normal",
)

_DESCRIPTIVE = ("Sinusal", "Regular", "Normal")


@dataclass(frozen=True)
class Measures:
    """Measured on the clean QRS of the usual beat, each (N,)."""

    axis: np.ndarray  # degrees, -180 to 180
    limb_voltage: np.ndarray  # mV peak to peak, the largest of the six limb leads
    sokolow: np.ndarray  # mV, S in V1 + the larger R of V5, V6


def measure(beats: Beats, fields: np.ndarray) -> Measures:
    """Axis and voltages of N recordings with lead fields (N, 9, 3)."""
    qrs = clean_qrs(beats, fields)
    one, two = qrs[:, 0], qrs[:, 1]
    limbs = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    net_i, net_avf = limbs[:, 0].mean(axis=1), limbs[:, 5].mean(axis=1)
    return Measures(
        axis=np.rad2deg(np.arctan2(net_avf * 2.0 / np.sqrt(3.0), net_i)),
        limb_voltage=np.ptp(limbs, axis=2).max(axis=1),
        sokolow=-qrs[:, 2].min(axis=1) + qrs[:, 6:8].max(axis=(1, 2)),
    )


def label(traits: Traits, rhythm: Rhythm, beats: Beats, fields: np.ndarray) -> np.ndarray:
    """Labels (N, len(FINDINGS)) int8, 0 or 1.

    Thresholds: rate 60 and 100/min over the intervals in view; regular if the longest interval is
    at most 1.25 times the shortest; PR over 200 ms; bundle branch block from a QRS of 120 ms; axis
    beyond -30 and 90 degrees; QTc (Fridericia) from 460 ms in women and 450 ms in men; low voltage
    if no limb lead reaches 0.5 mV peak to peak; ST elevation from 0.1 mV in two leads of the group.
    """
    measures = measure(beats, fields)
    view = rhythm.in_view
    rate, axis = rhythm.mean_rate, measures.axis
    sinus = rhythm.p_wave
    columns = {
        "Sinusal": sinus,
        "Regular": rhythm.interval_ratio <= 1.25,
        "Irregularly irregular": rhythm.fibrillation & ~rhythm.paced,
        "Bradycardia": rate < 60.0,
        "Sinus tachycardia": sinus & (rate > 100.0),
        "Afib": rhythm.fibrillation,
        "Premature ventricular complex": ((rhythm.kinds == ECTOPIC) & view).any(axis=1),
        "Premature atrial complex": ((rhythm.kinds == ATRIAL_EARLY) & view).any(axis=1),
        "1st degree AV block": sinus & ~rhythm.paced & (beats.pr > 0.200),
        "Left bundle branch block": beats.left_block & (beats.qrs >= 0.120),
        "Right bundle branch block": beats.right_block & (beats.qrs >= 0.120),
        "Left axis deviation": (axis < -30.0) & (axis >= -90.0),
        "Right axis deviation": axis > 90.0,
        "Left ventricular hypertrophy": beats.hypertrophy > 0.0,
        "SV1 + RV5 or RV6 > 35 mm": measures.sokolow > 3.5,
        "Low voltage": measures.limb_voltage < 0.5,
        "ST elevation (inferior - II, III, aVF)": beats.inferior >= 0.1,
        "ST elevation (anterior - V3-V4)": beats.anterior >= 0.1,
        "Prolonged QT": beats.qtc >= np.where(traits.female, 0.460, 0.450),
        "Ventricular paced": rhythm.paced,
    }
    ill = np.zeros(len(rate), dtype=bool)
    for name, column in columns.items():
        if name not in _DESCRIPTIVE:
            ill |= column
    columns["Normal"] = ~ill & columns["Sinusal"] & columns["Regular"]
    return np.stack([columns[name] for name in FINDINGS], axis=1).astype(np.int8)
