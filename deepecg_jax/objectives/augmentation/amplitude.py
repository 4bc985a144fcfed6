"""Random gains."""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View

Array = jax.Array


def gain(deviation: float, key: Array, view: View) -> View:
    """A random gain of each lead; see `random_gain`."""
    return view._replace(signal=random_gain(key, view.signal, deviation))


def common_gain(deviation: float, key: Array, view: View) -> View:
    """A random gain of each ECG; see `random_common_gain`."""
    return view._replace(signal=random_common_gain(key, view.signal, deviation))


def random_gain(key: Array, signal: Array, deviation: float) -> Array:
    """Each lead of each ECG times exp(deviation * N(0, 1)), (B, T, L) -> (B, T, L)."""
    gain = jnp.exp(deviation * jax.random.normal(key, (signal.shape[0], 1, signal.shape[2])))
    return signal * gain


def random_common_gain(key: Array, signal: Array, deviation: float) -> Array:
    """Each ECG times exp(deviation * N(0, 1)), the same for all leads, (B, T, L) -> (B, T, L)."""
    return signal * jnp.exp(deviation * jax.random.normal(key, (signal.shape[0], 1, 1)))
