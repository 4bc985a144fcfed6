"""Who is recorded: which ECGs share a patient, and the traits that a patient's ECGs share."""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.signals.synthetic.rng import Draws

_STREAM = 1
_BLOCK = 4
# Which of a block's four records belong to which of its patients; two a patient on average.
_PARTITIONS = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [0, 1, 2, 2]])


@dataclass(frozen=True)
class Traits:
    """What stays with a patient: arrays (N,) over records; durations in s, the axis in degrees."""

    age: np.ndarray
    female: np.ndarray
    rate: np.ndarray
    variability: np.ndarray
    axis: np.ndarray
    gain: np.ndarray
    t_gain: np.ndarray
    p_gain: np.ndarray
    pr: np.ndarray
    qrs: np.ndarray
    qtc: np.ndarray
    rotation: np.ndarray
    shape: np.ndarray  # (N, 12) standard normals: the personal deviations of the QRS and T vectors
    left_block: np.ndarray
    right_block: np.ndarray
    block_width: np.ndarray
    hypertrophy: np.ndarray  # severity 0 to 1; 0 is none
    permanent_af: np.ndarray
    pacemaker: np.ndarray
    pacing_site: np.ndarray  # 0 septum to 1 apex
    early_repolarisation: np.ndarray


def patient_of(index: np.ndarray | int) -> np.ndarray:
    """Patient number of record indices: int64 of the same shape, about two records a patient.

    Four consecutive records (4k .. 4k+3) hold one to three whole patients; so index ranges that
    start and end at multiples of four never share a patient. It does not depend on the seed.
    """
    index = np.asarray(index, dtype=np.int64)
    block, place = np.divmod(index, _BLOCK)
    pattern = Draws(0, 0, block.reshape(-1)).bits(1)[:, 0] % np.uint64(len(_PARTITIONS))
    return block * _BLOCK + _PARTITIONS[pattern.astype(np.int64).reshape(block.shape), place]


def rising(age: np.ndarray, young: float, old: float, start: float = 40.0) -> np.ndarray:
    """A prevalence that is `young` up to the age `start` and rises to `old` at 90 years."""
    return young + (old - young) * np.clip((age - start) / (90.0 - start), 0.0, 1.1) ** 1.5


def traits(seed: int, patients: np.ndarray) -> Traits:
    """Traits of patient numbers (N,), each a function of (seed, patient) only.

    The shifts by age and sex are small ones of the usual sign: women have faster rates, longer QT,
    lower voltage and smaller T waves; with age the axis turns left, voltage falls, PR and QT
    lengthen, and disease is commoner (after P. Rijnbeek et al., "Normal values of the
    electrocardiogram for ages 16-90 years", J. Electrocardiol. 2014, in round figures).
    """
    draw = Draws(seed, _STREAM, patients)
    age = _triangular(draw.uniform(), 18.0, 66.0, 95.0)
    female = draw.uniform() < 0.5
    man = ~female
    decades = (age - 55.0) / 10.0

    axis = 42.0 - 6.0 * decades + 20.0 * draw.normal()
    deviates, swing = draw.uniform(), draw.normal()
    left = rising(age, 0.06, 0.19)
    axis = np.where(deviates < left, -38.0 + 18.0 * swing, axis)
    axis = np.where(deviates > 1.0 - 0.075, 98.0 + 19.0 * swing, axis)

    gain = np.exp(-0.07 + 0.06 * man - 0.02 * decades + 0.24 * draw.normal())
    gain = gain * np.where(draw.uniform() < 0.10, draw.between(0.36, 0.85), 1.0)
    left_block = draw.uniform() < rising(age, 0.03, 0.20)
    right_block = (draw.uniform() < rising(age, 0.07, 0.27) * np.where(man, 1.2, 0.8)) & ~left_block
    hypertrophy = np.where(
        draw.uniform() < rising(age, 0.07, 0.24, 25.0), draw.between(0.12, 1.0), 0.0
    )
    slow_node = draw.uniform() < rising(age, 0.08, 0.34)
    return Traits(
        age=np.floor(age),
        female=female,
        rate=69.0 + 3.0 * female - 0.5 * decades + 8.0 * draw.normal(),
        variability=np.exp(-(age - 20.0) / 45.0 + 0.60 * draw.normal()),
        axis=axis,
        gain=gain,
        t_gain=np.exp(0.12 * man - 0.05 * decades + 0.34 * draw.normal()),
        p_gain=0.85 * np.exp(0.40 * draw.normal()),
        pr=0.156
        + 0.0025 * decades
        + 0.018 * draw.normal()
        + np.where(slow_node, draw.between(0.0, 0.10), 0.0),
        qrs=np.clip(0.088 + 0.005 * man + 0.007 * draw.normal(), 0.070, 0.114),
        qtc=0.405 + 0.010 * female + 0.0015 * decades + 0.017 * draw.normal(),
        rotation=draw.normal(),
        shape=draw.normal(12),
        left_block=left_block,
        right_block=right_block,
        block_width=draw.uniform(),
        hypertrophy=hypertrophy,
        permanent_af=draw.uniform() < rising(age, 0.005, 0.17) * np.where(man, 1.2, 0.8),
        pacemaker=draw.uniform() < rising(age, 0.008, 0.15),
        pacing_site=np.minimum(1.0, 1.4 * draw.uniform()),
        early_repolarisation=(draw.uniform() < 0.25) & (age < 50.0) & man,
    )


def _triangular(uniform: np.ndarray, low: float, mode: float, high: float) -> np.ndarray:
    """Inverse of the triangular distribution function."""
    split = (mode - low) / (high - low)
    rise = low + np.sqrt(uniform * (high - low) * (mode - low))
    fall = high - np.sqrt((1.0 - uniform) * (high - low) * (high - mode))
    return np.where(uniform < split, rise, fall)
