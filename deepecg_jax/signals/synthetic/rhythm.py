"""When the ventricles are activated, and from where: the beat times of a 10 s recording."""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.signals.synthetic.patients import Traits, rising
from deepecg_jax.signals.synthetic.rng import Draws

SECONDS = 10.0
MAX_BEATS = 44
DOMINANT, ECTOPIC, ATRIAL_EARLY = 0, 1, 2
"""Kinds of beat: the usual one, a premature ventricular one, a premature atrial one."""

# Beats from here on can reach into the recording with their T wave.
_FIRST_START = -1.2


@dataclass(frozen=True)
class Rhythm:
    """Beats of N recordings; times in s from the start of the recording, onset of the QRS."""

    times: np.ndarray  # (N, MAX_BEATS), rising; those beyond the end are not drawn
    kinds: np.ndarray  # (N, MAX_BEATS) int8
    intervals: np.ndarray  # (N, MAX_BEATS) the RR interval before each beat
    fibrillation: np.ndarray  # (N,) bool
    paced: np.ndarray  # (N,) bool, the ventricle
    p_wave: np.ndarray  # (N,) bool: each dominant beat follows a P wave
    breath_rate: np.ndarray  # (N,) Hz
    breath_phase: np.ndarray  # (N,) rad
    mean_rate: np.ndarray  # (N,) beats per minute in the recording
    interval_ratio: np.ndarray  # (N,) longest over shortest RR interval in the recording

    @property
    def in_view(self) -> np.ndarray:
        """(N, MAX_BEATS) bool: beats whose QRS is wholly inside the recording."""
        return _in_view(self.times)


def plan_rhythm(draw: Draws, traits: Traits) -> Rhythm:
    """Rhythm of N recordings of patients with these traits (N,).

    Sinus rhythm has respiratory and 0.1 Hz variability; fibrillation has independent log-normal
    intervals; a pacemaker paces at a fixed rate or follows the sinus node.
    """
    n = len(traits.age)
    paced = traits.pacemaker & (draw.uniform() < 0.9)
    paroxysm = draw.uniform() < rising(traits.age, 0.006, 0.06)
    fibrillation = traits.permanent_af | paroxysm
    tracking = paced & ~fibrillation & (draw.uniform() < 0.55)

    sinus_rate = np.clip(_sinus_rate(draw, traits), 36.0, 158.0)
    fibrillation_rate = np.clip(90.0 * np.exp(0.24 * draw.normal()), 46.0, 160.0)
    spread = np.exp(draw.between(np.log(0.055), np.log(0.24)))
    set_rate = draw.between(60.5, 82.0)
    fixed = paced & ~tracking
    irregular = fibrillation & ~paced
    rate = np.where(fixed, set_rate, np.where(irregular, fibrillation_rate, sinus_rate))
    rate = np.where(tracking, np.clip(rate, 60.5, 125.0), rate)
    mean = 60.0 / rate

    breath_rate = draw.between(0.17, 0.36)
    breath_phase = draw.between(0.0, 2.0 * np.pi)
    slow_phase = draw.between(0.0, 2.0 * np.pi)
    calm = np.clip((130.0 - rate) / 60.0, 0.1, 1.0)
    clock = np.arange(MAX_BEATS) * mean[:, None]
    breathing = np.sin(2.0 * np.pi * breath_rate[:, None] * clock + breath_phase[:, None])
    slow = np.sin(2.0 * np.pi * 0.1 * clock + slow_phase[:, None])
    swing = np.clip(0.08 * traits.variability * calm, 0.0, 0.17)[:, None]
    sinus = 1.0 + swing * breathing + 0.4 * swing * slow + 0.006 * draw.normal(MAX_BEATS)
    fibrillating = np.exp(spread[:, None] * np.clip(draw.normal(MAX_BEATS), -2.2, 2.2))
    factor = np.where(irregular[:, None], fibrillating, np.where(fixed[:, None], 1.0, sinus))
    intervals = np.maximum(mean[:, None] * factor, 0.31)

    early = _early_beats(draw, traits, 0.05, 0.12)
    early[fibrillation | paced] = False
    shortening = draw.between(0.58, 0.83)[:, None]
    intervals = np.where(early, np.maximum(shortening * intervals, 0.33), intervals)

    start = _FIRST_START - draw.uniform() * mean
    times = start[:, None] + np.cumsum(intervals, axis=1)
    ectopic = _early_beats(draw, traits, 0.06, 0.17)
    ectopic[early.any(axis=1) | (mean < 0.45)] = False
    ectopic &= intervals > 0.42
    coupling = draw.between(0.54, 0.86)[:, None] + 0.01 * draw.normal(MAX_BEATS)
    coupling = np.clip(np.maximum(coupling * intervals, 0.36), 0.0, 0.9 * intervals)
    # An ectopic beat comes early and the next sinus beat in its own time: a compensatory pause.
    times = np.where(ectopic, times - intervals + coupling, times)
    intervals = np.diff(times, axis=1, prepend=(times[:, :1] - mean[:, None]))

    kinds = np.where(ectopic, ECTOPIC, np.where(early, ATRIAL_EARLY, DOMINANT)).astype(np.int8)
    mean_rate, ratio = _measure(times, intervals)
    return Rhythm(
        times=times,
        kinds=kinds,
        intervals=intervals,
        fibrillation=fibrillation,
        paced=paced,
        p_wave=~fibrillation & (~paced | tracking),
        breath_rate=breath_rate,
        breath_phase=breath_phase,
        mean_rate=mean_rate.reshape(n),
        interval_ratio=ratio.reshape(n),
    )


def _sinus_rate(draw: Draws, traits: Traits) -> np.ndarray:
    usual = traits.rate + 5.0 * draw.normal()
    which, swing = draw.uniform(), draw.normal()
    slow = which < 0.10
    fast = which > 0.84
    return np.where(slow, 56.0 + 5.0 * swing, np.where(fast, 102.0 + 13.0 * swing, usual))


def _early_beats(draw: Draws, traits: Traits, young: float, old: float) -> np.ndarray:
    """Which beats come early (N, MAX_BEATS): none in most recordings, never two in a row.

    Single ones at random, or every second or every third beat.
    """
    present = draw.uniform() < rising(traits.age, young, old)
    share = np.exp(draw.between(np.log(0.04), np.log(0.3)))[:, None]
    random = draw.uniform(MAX_BEATS) < share
    random[:, 1:] &= ~random[:, :-1]
    order = np.arange(MAX_BEATS)
    pattern = draw.uniform()[:, None]
    chosen = np.where(pattern < 0.10, order % 2 == 0, random)
    chosen = np.where((pattern >= 0.10) & (pattern < 0.18), order % 3 == 0, chosen)
    # One is placed about the middle of the recording, so that a record is never positive unseen.
    where = np.rint((2.5 + 5.5 * draw.uniform()) * traits.rate / 60.0).astype(np.int64) + 2
    distance = np.abs(order - where[:, None])
    chosen = np.where(distance == 0, True, chosen & (distance != 1))
    return chosen & present[:, None] & (order > 0)


def _in_view(times: np.ndarray) -> np.ndarray:
    return (times >= 0.02) & (times < SECONDS - 0.12)


def _measure(times: np.ndarray, intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean rate in beats per minute and ratio of the longest to the shortest interval in view."""
    view = _in_view(times)
    between = view.copy()
    between[:, 1:] &= view[:, :-1]
    between[:, 0] = False
    first = np.where(view, times, np.inf).min(axis=1)
    last = np.where(view, times, -np.inf).max(axis=1)
    rate = 60.0 * between.sum(axis=1) / (last - first)
    longest = np.where(between, intervals, -np.inf).max(axis=1)
    shortest = np.where(between, intervals, np.inf).min(axis=1)
    return rate, longest / shortest
