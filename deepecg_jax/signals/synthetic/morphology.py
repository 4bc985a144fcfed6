"""What a beat looks like: P, QRS, ST and T as waves of the heart dipole.

A wave is a Gaussian in time with its own flank widths, times a direction in the Frank axes (x left,
y feet, z back; unit mV in the lead field's scale). Times count from the onset of the QRS, in s.
The QRS vectors follow the textbook sequence (septum to the right and front, free wall to the left
and down, base backwards); blocks, pacing and ectopic beats replace that sequence by a slower one.
"""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.signals.synthetic.leadfield import LEAD_FIELD
from deepecg_jax.signals.synthetic.patients import Traits
from deepecg_jax.signals.synthetic.rhythm import Rhythm
from deepecg_jax.signals.synthetic.rng import Draws

P_WAVES, QRS_WAVES, T_WAVES = slice(0, 2), slice(2, 6), slice(6, 8)
ST_WAVE, T_WAVE, N_WAVES = 6, 7, 8

# Injury currents (dipole directions) with the leads that define them.
_INFERIOR, _ANTERIOR = np.array([-0.35, 0.90, 0.15]), np.array([0.45, -0.25, -0.85])
_INFERIOR_LEADS, _ANTERIOR_LEADS = (1, 2, 5), (8, 9)
# QRS sequences: (waves, dipole) with centre and width of each wave as fractions of the duration.
_NORMAL = np.array([[-0.13, -0.04, -0.21], [1.12, 0.90, 0.54], [-0.12, -0.08, 0.64], [0, 0, 0]])
_NORMAL_AT, _NORMAL_WIDE = (0.20, 0.47, 0.72, 0.80), (0.085, 0.11, 0.11, 0.08)
_RIGHT_AT, _RIGHT_WIDE = (0.14, 0.31, 0.46, 0.70), (0.06, 0.075, 0.08, 0.13)
_LEFT = np.array([[0.22, 0.12, 0.10], [0.90, 0.42, 0.62], [0.92, 0.20, 1.02], [0.25, -0.02, 0.42]])
_LEFT_AT, _LEFT_WIDE = (0.14, 0.36, 0.64, 0.82), (0.06, 0.12, 0.12, 0.08)
_PACED = np.array([[0.05, -0.2, 0.1], [0.35, -0.85, 0.75], [0.3, -0.7, 0.8], [0.0, -0.1, 0.2]])
_RIGHT_END = np.array([-0.42, -0.04, -0.52])


@dataclass(frozen=True)
class Beats:
    """Wave tables of N recordings for a kind of beat each: (N, 2, ...), dominant and ectopic.

    `centre`, `rise`, `fall` (N, 2, 8) in s; `vector` (N, 2, 8, 3) in mV. The rest are (N,):
    durations in s of the dominant beat, and the injury currents at the J point in mV.
    """

    centre: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    vector: np.ndarray
    pr: np.ndarray
    qrs: np.ndarray
    qt: np.ndarray
    qtc: np.ndarray
    left_block: np.ndarray
    right_block: np.ndarray
    hypertrophy: np.ndarray
    inferior: np.ndarray
    anterior: np.ndarray


def plan_beats(draw: Draws, traits: Traits, rhythm: Rhythm) -> Beats:
    """Wave tables of N recordings.

    QT follows Fridericia's formula on the mean RR interval; what a wide QRS takes beyond 0.1 s is
    added to it, and left out of `qtc` again (the JT approach of the AHA/ACCF/HRS statement 2009).
    """
    paced = rhythm.paced
    left = traits.left_block & ~paced
    right = traits.right_block & ~paced
    narrow = ~(left | right | paced)
    qrs = np.where(left, 0.102 + 0.060 * traits.block_width, traits.qrs)
    qrs = np.where(right, 0.096 + 0.055 * traits.block_width, qrs)
    qrs = np.where(paced, 0.128 + 0.050 * traits.block_width, qrs)
    qrs = np.where(narrow, qrs + 0.010 * traits.hypertrophy, qrs)
    sequence = np.where(left[:, None, None], _LEFT, _axis_turned(traits))
    # Pacing sites lie between the apex and the septum, where the beat looks like left block.
    site = traits.pacing_site[:, None, None]
    sequence = np.where(paced[:, None, None], site * _PACED + (1.0 - site) * _LEFT, sequence)
    # In right block the right ventricle ends alone and late, with nothing against it.
    late_right = _RIGHT_END * (0.4 + 0.9 * traits.block_width[:, None])
    sequence[:, 3] += np.where(right[:, None], late_right, 0.0)
    sequence[:, 1:3, 2] *= np.where(right, 0.6, 1.0)[:, None]
    sequence += 0.11 * traits.shape.reshape(-1, 4, 3) * (np.abs(sequence) + 0.05)
    thick = 0.85 * traits.hypertrophy + 0.10 * (traits.hypertrophy > 0)
    size = traits.gain * (1.0 + np.where(narrow | right, 1.0, 0.35) * thick)
    sequence *= size[:, None, None]
    broad, slow = left | paced, right
    at = _choose(broad, _LEFT_AT, _choose(slow, _RIGHT_AT, _NORMAL_AT)) * qrs[:, None]
    wide = _choose(broad, _LEFT_WIDE, _choose(slow, _RIGHT_WIDE, _NORMAL_WIDE)) * qrs[:, None]

    rr = 60.0 / rhythm.mean_rate
    drug = np.where(draw.uniform() < 0.14, draw.between(0.0, 0.075), 0.0)
    qtc = np.clip(traits.qtc + drug + 0.006 * draw.normal(), 0.355, 0.54)
    qt = qtc * np.cbrt(rr) + np.maximum(qrs - 0.1, 0.0)

    may_infarct = ~(left | paced) & (draw.uniform() < 0.24)
    side = draw.uniform() < 0.5
    level = np.exp(draw.between(np.log(0.03), np.log(0.30)))
    inferior = np.where(may_infarct & side, level, 0.0)
    anterior = np.where(may_infarct & ~side, level, 0.0)
    injury = inferior[:, None] * _second(_INFERIOR, _INFERIOR_LEADS)
    injury = injury + anterior[:, None] * _second(_ANTERIOR, _ANTERIOR_LEADS)

    net = sequence.sum(axis=1)
    strain = np.where(traits.hypertrophy * draw.between(0.5, 1.3) > 0.4, traits.hypertrophy, 0.0)
    strain = (strain * ~(left | paced))[:, None]
    discordant = np.where(
        (left | paced)[:, None], net, np.where(right[:, None], sequence[:, 3], 0.0)
    )
    st = injury - 0.05 * discordant - 0.09 * strain * np.array([1.0, 0.5, 0.9])
    st = st + 0.018 * draw.normal(3)
    st = st + np.where(traits.early_repolarisation[:, None], [0.035, 0.025, -0.05], [0, 0, -0.012])
    t = _t_direction(draw, traits) * np.where(left | paced, 0.3, 1.0)[:, None]
    t = t + 0.5 * injury - 0.18 * discordant - 0.32 * strain * np.array([1.0, 0.6, 0.7])

    pr = np.clip(traits.pr + 0.006 * draw.normal() - 0.0003 * (rhythm.mean_rate - 70.0), 0.11, 0.34)
    pr = np.where(paced, draw.between(0.13, 0.19), pr)
    centre, rise, fall = _times(pr, qt, qrs, at, wide)
    vector = np.concatenate(
        [_p_vectors(draw, traits, rhythm), sequence, st[:, None], t[:, None]], axis=1
    )
    ectopic = _ectopic(draw, traits, rr)
    return Beats(
        centre=np.stack([centre, ectopic[0]], axis=1),
        rise=np.stack([rise, ectopic[1]], axis=1),
        fall=np.stack([fall, ectopic[2]], axis=1),
        vector=np.stack([vector, ectopic[3]], axis=1),
        pr=pr,
        qrs=qrs,
        qt=qt,
        qtc=qtc,
        left_block=left,
        right_block=right,
        hypertrophy=np.where(left | paced, 0.0, traits.hypertrophy),
        inferior=inferior,
        anterior=anterior,
    )


def clean_qrs(beats: Beats, fields: np.ndarray, points: int = 48) -> np.ndarray:
    """The dominant beat's QRS alone, without noise, in leads I, II, V1..V6: (N, 8, points) mV."""
    grid = np.linspace(0.0, 1.0, points) * beats.qrs[:, None]
    waves = beats.vector[:, 0, QRS_WAVES]
    dipole = np.zeros((len(grid), 3, points))
    for wave in range(4):
        z = (grid - beats.centre[:, 0, 2 + wave, None]) / beats.rise[:, 0, 2 + wave, None]
        dipole += waves[:, wave, :, None] * np.exp(-0.5 * z * z)[:, None]
    potentials = fields @ dipole
    limbs = potentials[:, 1:3] - potentials[:, :1]
    return np.concatenate([limbs, potentials[:, 3:]], axis=1)


def _choose(condition: np.ndarray, yes: tuple | np.ndarray, no: tuple | np.ndarray) -> np.ndarray:
    return np.where(condition[:, None], np.asarray(yes), np.asarray(no))


def _second(direction: np.ndarray, leads: tuple[int, ...]) -> np.ndarray:
    """`direction` scaled to 1 mV in the second strongest of `leads` (two leads make a finding)."""
    return direction / np.sort(LEAD_FIELD[list(leads)] @ direction)[-2]


def _axis_turned(traits: Traits) -> np.ndarray:
    """The normal QRS sequence (N, 4, 3), turned so that the frontal axis is the patient's."""
    sequence = np.repeat(_NORMAL[None], len(traits.axis), axis=0)
    angle = np.deg2rad(traits.axis)
    main = sequence[:, 1].copy()
    height = 1.12
    lead_i, lead_avf = height * np.cos(angle), height * np.sin(angle) * np.sqrt(3.0) / 2.0
    frontal = np.array([LEAD_FIELD[0, :2], LEAD_FIELD[5, :2]])
    inverse = np.linalg.inv(frontal)
    rest = LEAD_FIELD[[0, 5], 2] * main[:, 2:]
    a, b = lead_i - rest[:, 0], lead_avf - rest[:, 1]
    x, y = inverse[0, 0] * a + inverse[0, 1] * b, inverse[1, 0] * a + inverse[1, 1] * b
    sequence[:, 1, 0], sequence[:, 1, 1] = x, y
    sequence[:, 1, 2] += 0.24 * traits.rotation
    # The first forces point away from the main ones, so that q waves change with the axis.
    sequence[:, 0, 1] -= 0.10 * (y - 0.6)
    sequence[:, 0, 0] -= 0.06 * (x - 1.0)
    return sequence


def _t_direction(draw: Draws, traits: Traits) -> np.ndarray:
    turn = np.clip((traits.axis - 42.0) / 100.0, -0.8, 0.8)
    t = np.stack([0.20 - 0.05 * turn, 0.11 + 0.07 * turn, -0.09 - 0.04 * ~traits.female], axis=1)
    t = t * traits.t_gain[:, None] * np.sqrt(traits.gain)[:, None]
    return t + 0.035 * draw.normal(3)


def _p_vectors(draw: Draws, traits: Traits, rhythm: Rhythm) -> np.ndarray:
    right, left = np.array([0.030, 0.085, -0.045]), np.array([0.055, 0.050, 0.045])
    p = np.stack([right, left]) * (traits.p_gain * rhythm.p_wave)[:, None, None]
    return p * (1.0 + 0.2 * draw.normal(6).reshape(-1, 2, 3))


def _times(
    pr: np.ndarray, qt: np.ndarray, qrs: np.ndarray, at: np.ndarray, wide: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres and flank widths (N, 8).

    The tangent to a Gaussian at its steepest point meets zero two widths from the centre; so the
    T wave ends (tangent method) exactly at QT when its centre lies two falling widths before.
    """
    fall_t = 0.105 * (qt - np.maximum(qrs - 0.1, 0.0))
    centre_t = qt - 2.0 * fall_t
    rise_t = np.minimum(1.5 * fall_t, (centre_t - qrs) / 2.1)
    centre = [0.036 - pr, 0.070 - pr, *at.T, qrs + 0.012, centre_t]
    rise = [
        np.full_like(pr, 0.015),
        np.full_like(pr, 0.016),
        *wide.T,
        0.014 + 0.2 * np.maximum(qrs - 0.09, 0.0),
    ]
    fall = [*rise[:6], 0.38 * (centre_t - qrs)]
    return (
        np.stack(centre, axis=1),
        np.stack([*rise, rise_t], axis=1),
        np.stack([*fall, fall_t], axis=1),
    )


def _ectopic(
    draw: Draws, traits: Traits, rr: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centres, widths and vectors (N, 8[, 3]) of a premature ventricular beat with opposed T."""
    qrs = draw.between(0.105, 0.170)
    site = draw.uniform()
    outflow, left_wall = np.array([0.35, 1.25, 0.95]), np.array([-0.75, -0.55, -1.0])
    apex = np.array([0.55, -1.0, 0.85])
    main = np.where(
        (site < 0.45)[:, None], outflow, np.where((site < 0.8)[:, None], left_wall, apex)
    )
    main = (main + 0.22 * draw.normal(3)) * draw.between(0.45, 1.4)[:, None]
    main = main * np.sqrt(np.maximum(traits.gain, 0.4))[:, None]
    late = main * draw.between(0.5, 1.0)[:, None] + 0.15 * draw.normal(3)
    vector = np.zeros((len(qrs), N_WAVES, 3))
    vector[:, 3], vector[:, 4] = 0.75 * main, 0.75 * late
    net = main + late
    vector[:, ST_WAVE], vector[:, T_WAVE] = -0.05 * net, -0.27 * net
    at = np.array([0.14, 0.36, 0.62, 0.82]) * qrs[:, None]
    wide = np.array([0.06, 0.13, 0.13, 0.08]) * qrs[:, None]
    qt = np.clip(0.42 * np.cbrt(rr), 0.28, 0.48) + qrs - 0.1
    centre, rise, fall = _times(np.full_like(qrs, 0.15), qt, qrs, at, wide)
    return centre, rise, fall, vector
