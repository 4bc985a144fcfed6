"""Beats and rhythm to the dipole's course in time."""

import numpy as np

from deepecg_jax.signals.synthetic.morphology import P_WAVES, QRS_WAVES, T_WAVE, T_WAVES, Beats
from deepecg_jax.signals.synthetic.rhythm import ATRIAL_EARLY, ECTOPIC, SECONDS, Rhythm
from deepecg_jax.signals.synthetic.rng import Draws

RATE = 250
SAMPLES = int(SECONDS * RATE)

# A beat is drawn from 0.44 s before to 0.76 s after the onset of its QRS; each family of waves in a
# part of that: (first, last) in samples of the window.
_BEFORE, _WINDOW = 110, 300
_P_PART, _QRS_PART, _T_PART = slice(0, 124), slice(98, 176), slice(118, 300)
_MARGIN = _WINDOW
_SPIKE = np.array([0.55, -0.75, -0.35])


def dipole(draw: Draws, rhythm: Rhythm, beats: Beats) -> np.ndarray:
    """The dipole (N, 3, 2500) float32 at 250 Hz, without noise."""
    n = len(rhythm.times)
    depth, wobble = draw.between(0.01, 0.07)[:, None], 0.012 * draw.normal(rhythm.times.shape[1])
    breath = 2.0 * np.pi * rhythm.breath_rate[:, None] * rhythm.times + rhythm.breath_phase[:, None]
    gains = 1.0 + depth * np.sin(breath) + wobble
    spike_size = np.exp(draw.between(np.log(0.03), np.log(0.7)))
    spike_lead = draw.between(0.008, 0.020)

    starts = np.floor(rhythm.times * RATE).astype(np.int64) - _BEFORE
    drawn = (starts > -_WINDOW) & (starts < SAMPLES)
    record, order = np.nonzero(drawn)
    windows = _beat_windows(rhythm, beats, gains, record, order)
    out = np.zeros((n, 3, SAMPLES + 2 * _MARGIN), dtype=np.float32)
    firsts = (starts[record, order] + _MARGIN).tolist()
    # Windows of one record overlap, so they are added one after the other.
    for place, first, window in zip(record.tolist(), firsts, windows, strict=True):
        out[place, :, first : first + _WINDOW] += window
    _add_spikes(out, rhythm, drawn, spike_size, spike_lead)
    _add_fibrillation(out, draw, rhythm)
    return np.ascontiguousarray(out[:, :, _MARGIN : _MARGIN + SAMPLES])


def _beat_windows(
    rhythm: Rhythm, beats: Beats, gains: np.ndarray, record: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Every drawn beat in its own window: (M, 3, 300) float32."""
    times, kind = rhythm.times[record, order], rhythm.kinds[record, order]
    table = (kind == ECTOPIC).astype(np.int64)
    mean = 60.0 / rhythm.mean_rate[record]
    # The T wave follows the preceding interval a little.
    pace = np.clip(1.0 + 0.10 * (rhythm.intervals[record, order] / mean - 1.0), 0.93, 1.06)
    centre, vector = beats.centre[record, table], beats.vector[record, table]
    centre[:, T_WAVE] *= pace
    vector[kind == ATRIAL_EARLY, P_WAVES] *= np.array([0.7, -0.5, 0.7])
    vector *= gains[record, order][:, None, None]
    directions = np.ascontiguousarray(vector.transpose(0, 2, 1), dtype=np.float32)
    steepness = np.sqrt(0.5)
    rise = (steepness / beats.rise[record, table]).astype(np.float32)[:, :, None]
    fall = (steepness / beats.fall[record, table]).astype(np.float32)[:, :, None]
    offset = (np.floor(times * RATE) - _BEFORE) / RATE - times
    shift = (offset[:, None] - centre).astype(np.float32)[:, :, None]
    grid = (np.arange(_WINDOW) / RATE).astype(np.float32)
    windows = np.zeros((len(record), 3, _WINDOW), dtype=np.float32)
    for waves, part in ((P_WAVES, _P_PART), (QRS_WAVES, _QRS_PART), (T_WAVES, _T_PART)):
        z = grid[part] + shift[:, waves]
        z *= np.where(z < 0, rise[:, waves], fall[:, waves]) if waves is T_WAVES else rise[:, waves]
        np.multiply(z, z, out=z)
        np.negative(z, out=z)
        np.exp(z, out=z)
        windows[:, :, part] += np.ascontiguousarray(directions[:, :, waves]) @ z
    return windows


def _add_spikes(
    out: np.ndarray, rhythm: Rhythm, drawn: np.ndarray, size: np.ndarray, lead: np.ndarray
) -> None:
    """Pacing spikes shortly before each paced QRS: one sample up, the next a third of it back."""
    record, order = np.nonzero(drawn & rhythm.paced[:, None] & (rhythm.kinds != ECTOPIC))
    at = np.floor((rhythm.times[record, order] - lead[record]) * RATE).astype(np.int64) + _MARGIN
    height = (size[record, None] * _SPIKE).astype(np.float32)
    out[record, :, at] += height
    out[record, :, at + 1] -= np.float32(0.3) * height


def _add_fibrillation(out: np.ndarray, draw: Draws, rhythm: Rhythm) -> None:
    """Fibrillatory waves of 4 to 9 Hz, saw-tooth like, of wandering rate, strongest in V1."""
    rate, phase = draw.between(4.2, 8.8), draw.uniform(4) * 2.0 * np.pi
    size = np.exp(draw.between(np.log(0.012), np.log(0.10)))
    drift, warble = draw.between(0.2, 0.6), draw.between(0.7, 1.6)
    direction = np.array([-0.12, 0.45, -0.60]) + 0.15 * draw.normal(3)
    chosen = np.nonzero(rhythm.fibrillation)[0]
    if not len(chosen):
        return
    time = np.arange(SAMPLES) / RATE
    turn = 2.0 * np.pi * time
    phase, pick = phase[chosen], (chosen, None)
    angle = turn * rate[pick] + phase[:, :1]
    angle += 1.6 * np.sin(turn * warble[pick] + phase[:, 1:2])
    envelope = 1.0 + 0.35 * np.sin(turn * drift[pick] + phase[:, 2:3])
    wave = np.sin(angle) + 0.4 * np.sin(2.0 * angle + 0.6) + 0.2 * np.sin(3.0 * angle + 1.2)
    other = 0.35 * np.sin(turn * (0.83 * rate[pick]) + phase[:, 3:4])
    wave = ((wave + other) * envelope * size[pick]).astype(np.float32)
    for axis in range(3):
        out[chosen, axis, _MARGIN : _MARGIN + SAMPLES] += (
            direction[chosen, axis, None].astype(np.float32) * wave
        )
