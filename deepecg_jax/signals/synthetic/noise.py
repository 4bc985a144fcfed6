"""What electrodes pick up besides the heart.

Noise is added to electrode potentials, never to leads, so limb leads keep obeying Einthoven: a bad
right-arm electrode shows in I, II and the augmented leads, a bad V3 in V3 alone.
"""

import functools

import numpy as np
from scipy.interpolate import BSpline

from deepecg_jax.signals.synthetic.leadfield import ELECTRODES
from deepecg_jax.signals.synthetic.render import RATE, SAMPLES
from deepecg_jax.signals.synthetic.rhythm import SECONDS, Rhythm
from deepecg_jax.signals.synthetic.rng import Draws

_N = len(ELECTRODES)
_KNOT_SECONDS = 0.9


def electrode_noise(draw: Draws, samples: Draws, rhythm: Rhythm) -> np.ndarray:
    """Noise of nine electrodes: (N, 9, 2500) float32 mV.

    Baseline wander (breathing and slow drift), 50 or 60 Hz mains, muscle noise in bursts, and in
    some recordings the jerk of a moved electrode. Levels are log-normal, correlated within a
    recording, and near zero in many, as behind the filters of a good device.
    """
    n = len(rhythm.times)
    quality = draw.normal()
    slow = _slow_noise(draw, rhythm, quality)
    potentials = slow
    potentials += _muscle_noise(draw, samples, quality)
    _add_motion(potentials, draw, quality)
    assert potentials.shape == (n, _N, SAMPLES)
    return potentials


def _level(draw: Draws, quality: np.ndarray, median: float, spread: float) -> np.ndarray:
    """Per electrode level (N, 9): log-normal about `median`, worse where `quality` is high."""
    common = np.log(median) + spread * (0.6 * quality + 0.8 * draw.normal())
    return np.exp(common[:, None] + 0.5 * draw.normal(_N))


def _slow_noise(draw: Draws, rhythm: Rhythm, quality: np.ndarray) -> np.ndarray:
    """Drift, breathing and mains as coefficients times common time courses."""
    knots = len(_spline_basis())
    drift = _level(draw, quality, 0.035, 0.8)[:, :, None] * draw.normal(_N * knots).reshape(
        -1, _N, knots
    )
    breath = _level(draw, quality, 0.032, 0.9) * np.sign(draw.normal(_N))
    mains = _level(draw, quality, 0.0035, 1.0)
    sixty = (draw.uniform() < 0.5)[:, None]
    phase = draw.between(0.0, 2.0 * np.pi)[:, None] + 0.5 * draw.normal(_N)
    in_phase, quadrature = mains * np.cos(phase), mains * np.sin(phase)
    tones = [in_phase * ~sixty, quadrature * ~sixty, in_phase * sixty, quadrature * sixty]
    weights = np.concatenate([drift, np.stack(tones, axis=2)], axis=2).astype(np.float32)
    angle = 2.0 * np.pi * rhythm.breath_rate[:, None] * (np.arange(SAMPLES) / RATE)
    angle += rhythm.breath_phase[:, None] - 0.6
    noise = weights @ _slow_basis()
    noise += breath.astype(np.float32)[:, :, None] * np.sin(angle.astype(np.float32))[:, None]
    return noise


def _muscle_noise(draw: Draws, samples: Draws, quality: np.ndarray) -> np.ndarray:
    """Differenced white noise (more power at high frequencies) under a slowly varying envelope."""
    spline = _spline_basis()
    level = _level(draw, quality, 0.005, 1.0).astype(np.float32)
    burst = (draw.between(0.1, 0.7)[:, None] * draw.normal(len(spline))).astype(np.float32)
    envelope = np.abs(1.0 + burst[:, None, :] @ spline)
    white = samples.fast_normal(_N * (SAMPLES + 4)).reshape(-1, _N, SAMPLES + 4)
    noise = white[:, :, :SAMPLES] * np.float32(-0.6)
    noise += white[:, :, 1 : SAMPLES + 1]
    noise *= level[:, :, None] * envelope
    return noise


def _add_motion(potentials: np.ndarray, draw: Draws, quality: np.ndarray) -> None:
    """In about one recording in five an electrode jumps and creeps back over a second or so."""
    moved = draw.uniform() < np.clip(0.22 + 0.10 * quality, 0.04, 0.6)
    electrode = np.floor(draw.uniform() * _N).astype(np.int64)
    start, decay = draw.between(0.3, SECONDS - 0.5), np.exp(draw.between(np.log(0.06), np.log(1.2)))
    size = np.exp(draw.between(np.log(0.12), np.log(0.9))) * np.sign(draw.normal())
    chosen = np.nonzero(moved)[0]
    if not len(chosen):
        return
    since = (np.arange(SAMPLES) / RATE - start[chosen, None]).astype(np.float32)
    np.maximum(since, 0.0, out=since)
    rise = 1.0 - np.exp(since * np.float32(-1.0 / 0.02))
    fall = np.exp(since * (-1.0 / decay[chosen, None]).astype(np.float32))
    potentials[chosen, electrode[chosen]] += size[chosen, None].astype(np.float32) * rise * fall


@functools.cache
def _spline_basis() -> np.ndarray:
    """Cubic B-splines over the recording, knots 0.9 s apart: (K, 2500) float32."""
    knots = np.arange(-4, np.ceil(SECONDS / _KNOT_SECONDS) + 5) * _KNOT_SECONDS
    time = np.arange(SAMPLES) / RATE
    basis = BSpline.design_matrix(time, knots, 3).toarray().T
    return np.ascontiguousarray(basis[basis.any(axis=1)], dtype=np.float32)


@functools.cache
def _slow_basis() -> np.ndarray:
    """The splines, then sine and cosine of 50 and of 60 Hz: (K + 4, 2500) float32."""
    turn = 2.0 * np.pi * np.arange(SAMPLES) / RATE
    tones = [np.sin(50 * turn), np.cos(50 * turn), np.sin(60 * turn), np.cos(60 * turn)]
    return np.concatenate([_spline_basis(), np.stack(tones)]).astype(np.float32)
