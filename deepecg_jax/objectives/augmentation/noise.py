"""Disturbances that are added: white noise, baseline wander, powerline interference."""

import math

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View

Array = jax.Array
COMPONENTS = 3
WANDER_HERTZ = (0.05, 0.5)


def noise(deviation: float, key: Array, view: View) -> View:
    """White noise; see `white_noise`."""
    return view._replace(signal=white_noise(key, view.signal, deviation, view.valid_samples))


def wander(amplitude: float, sampling_rate: float, key: Array, view: View) -> View:
    """A wandering baseline; see `baseline_wander`."""
    drift = baseline_wander(key, view.signal.shape, amplitude, sampling_rate)
    return view._replace(signal=view.signal + unpadded(drift, view.valid_samples))


def powerline(
    amplitude: float, frequency: float, sampling_rate: float, key: Array, view: View
) -> View:
    """Interference of the mains; see `powerline_interference`."""
    shape = view.signal.shape
    hum = powerline_interference(key, shape, amplitude, frequency, sampling_rate)
    return view._replace(signal=view.signal + unpadded(hum, view.valid_samples))


def white_noise(
    key: Array, signal: Array, deviation: float, valid_samples: Array | None = None
) -> Array:
    """Independent N(0, deviation^2) millivolts on every sample, (B, T, L) -> (B, T, L).

    valid_samples: (B,) samples before zero padding, which stays zero, or None if none is padded.
    """
    added = deviation * jax.random.normal(key, signal.shape, signal.dtype)
    return signal + unpadded(added, valid_samples)


def baseline_wander(
    key: Array, shape: tuple[int, ...], amplitude: float, sampling_rate: float
) -> Array:
    """Slow drifts, millivolts, (B, T, L): a sum of three sinusoids of 0.05 to 0.5 Hz, the range of
    breathing and of moving electrodes.

    The frequencies are those of an ECG; phases, and amplitudes of up to a third of ``amplitude``
    with either sign, are those of a lead.
    """
    rows, samples, leads = shape
    keys = jax.random.split(key, 3)
    low, high = WANDER_HERTZ
    frequency = jax.random.uniform(keys[0], (rows, COMPONENTS), minval=low, maxval=high)
    phase = jax.random.uniform(keys[1], (rows, COMPONENTS, leads), maxval=2.0 * math.pi)
    most = amplitude / COMPONENTS
    size = jax.random.uniform(keys[2], (rows, COMPONENTS, leads), minval=-most, maxval=most)
    angle = 2.0 * math.pi * frequency[..., None] * (jnp.arange(samples) / sampling_rate)
    # sin(angle + phase) as two products with the waves that all leads share
    parts = jnp.einsum("bct,bcl->btl", jnp.sin(angle), size * jnp.cos(phase), precision="highest")
    other = jnp.einsum("bct,bcl->btl", jnp.cos(angle), size * jnp.sin(phase), precision="highest")
    return parts + other


def powerline_interference(
    key: Array,
    shape: tuple[int, ...],
    amplitude: float,
    frequency: float,
    sampling_rate: float,
) -> Array:
    """A sinusoid of ``frequency`` Hz, millivolts, (B, T, L).

    Its phase is that of an ECG; its amplitude in each lead is uniform from 0 to ``amplitude``.
    """
    rows, samples, leads = shape
    phase_key, size_key = jax.random.split(key)
    phase = jax.random.uniform(phase_key, (rows, 1), maxval=2.0 * math.pi)
    size = jax.random.uniform(size_key, (rows, 1, leads), maxval=amplitude)
    angle = 2.0 * math.pi * frequency * (jnp.arange(samples) / sampling_rate)
    return jnp.sin(angle + phase)[..., None] * size


def unpadded(added: Array, valid_samples: Array | None) -> Array:
    """What is added to ECGs, (B, T, L), but nothing to their zero padding."""
    if valid_samples is None:
        return added
    valid = jnp.arange(added.shape[1])[None, :] < valid_samples[:, None]
    return jnp.where(valid[..., None], added, 0.0)
