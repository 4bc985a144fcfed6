"""Recordings by index: the generator's one entry point."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.synthetic.findings import FINDINGS, label
from deepecg_jax.signals.synthetic.leadfield import placed_fields, to_leads
from deepecg_jax.signals.synthetic.morphology import Beats, plan_beats
from deepecg_jax.signals.synthetic.noise import electrode_noise
from deepecg_jax.signals.synthetic.patients import Traits, patient_of, traits
from deepecg_jax.signals.synthetic.render import SAMPLES, dipole
from deepecg_jax.signals.synthetic.rhythm import Rhythm, plan_rhythm
from deepecg_jax.signals.synthetic.rng import Draws

_PLAN, _RENDER, _LEVELS, _SAMPLES, _PLACEMENT = 2, 3, 4, 5, 6
# Records made at once: large enough to amortise calls, small enough to stay in the cache.
_CHUNK = 64


@dataclass(frozen=True)
class SyntheticBatch:
    """N generated recordings, 10 s at 250 Hz; `labels` has a column for each of FINDINGS."""

    signal: np.ndarray  # (N, 2500, 12) float32 mV, standard lead order
    labels: np.ndarray  # (N, len(FINDINGS)) int8, 0 or 1
    age: np.ndarray  # (N,) float32 years
    sex: np.ndarray  # (N,) "female" or "male"
    patient_id: np.ndarray  # (N,) text
    record_id: np.ndarray  # (N,) text


@dataclass(frozen=True)
class Plan:
    """Everything about N recordings but their samples; the truth that tests compare with."""

    traits: Traits
    rhythm: Rhythm
    beats: Beats
    fields: np.ndarray  # (N, 9, 3) lead fields


def plan(indices: np.ndarray, seed: int = 0) -> Plan:
    """What will be drawn for record indices (N,): traits, beat times, wave tables, lead fields."""
    who = traits(seed, patient_of(indices))
    draw = Draws(seed, _PLAN, indices)
    rhythm = plan_rhythm(draw, who)
    beats = plan_beats(draw, who, rhythm)
    jitter = Draws(seed, _PLACEMENT, indices).normal(18).reshape(-1, 6, 3)
    return Plan(who, rhythm, beats, placed_fields(jitter))


def generate(
    indices: np.ndarray, seed: int = 0, *, noise: float = 1.0, threads: int | None = None
) -> SyntheticBatch:
    """Generate the recordings with these indices.

    Args:
        indices: (N,) non-negative integers, in any order; a record is a function of (seed, index)
            alone, the same to the bit whatever else is asked for in the call.
        seed: another seed gives other patients and recordings.
        noise: factor on all electrode noise; 0 gives clean signals.
        threads: worker threads, by default one a processor up to four. Results do not depend on it.
    """
    indices = np.asarray(indices, dtype=np.int64).reshape(-1)
    if len(indices) and indices.min() < 0:
        raise UserError(f"Record indices must not be negative, but one is {indices.min()}.")
    n = len(indices)
    signal = np.empty((n, SAMPLES, 12), dtype=np.float32)
    labels = np.empty((n, len(FINDINGS)), dtype=np.int8)
    age, female = np.empty(n, dtype=np.float32), np.empty(n, dtype=bool)

    def fill(start: int) -> None:
        part = slice(start, start + _CHUNK)
        chosen = plan(indices[part], seed)
        _draw_signal(signal[part], chosen, indices[part], seed, noise)
        labels[part] = label(chosen.traits, chosen.rhythm, chosen.beats, chosen.fields)
        age[part], female[part] = chosen.traits.age, chosen.traits.female

    workers = threads if threads is not None else min(os.cpu_count() or 1, 4)
    starts = range(0, n, _CHUNK)
    if workers > 1 and len(starts) > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill, starts))
    else:
        for start in starts:
            fill(start)
    patients = patient_of(indices)
    return SyntheticBatch(
        signal=signal,
        labels=labels,
        age=age,
        sex=np.where(female, "female", "male"),
        patient_id=np.array([f"synthetic-{seed}-p{p:08d}" for p in patients], dtype=np.str_),
        record_id=np.array([f"synthetic-{seed}-r{i:08d}" for i in indices], dtype=np.str_),
    )


def _draw_signal(
    out: np.ndarray, chosen: Plan, indices: np.ndarray, seed: int, noise: float
) -> None:
    """Fill `out` (n, 2500, 12) with the leads of a chunk."""
    heart = dipole(Draws(seed, _RENDER, indices), chosen.rhythm, chosen.beats)
    potentials = chosen.fields.astype(np.float32) @ heart
    if noise:
        levels, samples = Draws(seed, _LEVELS, indices), Draws(seed, _SAMPLES, indices)
        disturbance = electrode_noise(levels, samples, chosen.rhythm)
        disturbance *= np.float32(noise)
        potentials += disturbance
    to_leads(potentials, out)
