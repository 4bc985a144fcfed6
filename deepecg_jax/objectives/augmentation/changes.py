"""The random changes, (key, view) -> view, and what each does to arrays."""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.objectives.segments import apply_lead_mask

Array = jax.Array


def crop(length: int, key: Array, view: View) -> View:
    """A random piece of ``length`` samples of each ECG; see `random_crop`."""
    signal, valid = random_crop(key, view.signal, length, view.valid_samples)
    return view._replace(signal=signal, valid_samples=valid)


def gain(deviation: float, key: Array, view: View) -> View:
    """A random gain of each lead; see `random_gain`."""
    return view._replace(signal=random_gain(key, view.signal, deviation))


def noise(deviation: float, key: Array, view: View) -> View:
    """White noise; see `white_noise`."""
    return view._replace(signal=white_noise(key, view.signal, deviation, view.valid_samples))


def leads(probability: float, key: Array, view: View) -> View:
    """Leads are lost; see `drop_leads`."""
    return view._replace(lead_mask=drop_leads(key, view.lead_mask, probability))


def mixed(alpha: float, key: Array, view: View) -> View:
    """Mixtures of ECGs and of their labels; see `mixup`."""
    assert view.labels is not None  # only `LabelledViewConfig` makes this change
    shown = apply_lead_mask(view.signal, view.lead_mask)
    signal, labels = mixup(key, shown, view.labels, alpha)
    valid = view.valid_samples
    valid = None if valid is None else jnp.maximum(valid, valid[::-1])
    # what was missing is zero in both parts already
    return View(signal, jnp.ones_like(view.lead_mask), valid, labels)


def random_crop(
    key: Array, signal: Array, length: int, valid_samples: Array | None = None
) -> tuple[Array, Array | None]:
    """A random piece of each ECG, (B, T, L) -> (B, length, L), and its valid samples, (B,) or None.

    valid_samples: (B,) samples before zero padding, or None if none is padded. A piece contains
    padding only where the ECG is shorter than ``length``.
    """
    last = signal.shape[1] - length
    if valid_samples is not None:
        last = jnp.maximum(valid_samples - length, 0)
        valid_samples = jnp.minimum(valid_samples, length)
    starts = jax.random.randint(key, (signal.shape[0],), 0, last + 1)
    pieces = jax.vmap(lambda x, start: jax.lax.dynamic_slice_in_dim(x, start, length))
    return pieces(signal, starts), valid_samples


def random_gain(key: Array, signal: Array, deviation: float) -> Array:
    """Each lead of each ECG times exp(deviation * N(0, 1)), (B, T, L) -> (B, T, L)."""
    gain = jnp.exp(deviation * jax.random.normal(key, (signal.shape[0], 1, signal.shape[2])))
    return signal * gain


def white_noise(
    key: Array, signal: Array, deviation: float, valid_samples: Array | None = None
) -> Array:
    """Independent N(0, deviation^2) millivolts on every sample, (B, T, L) -> (B, T, L).

    valid_samples: (B,) samples before zero padding, which stays zero, or None if none is padded.
    """
    noise = deviation * jax.random.normal(key, signal.shape, signal.dtype)
    if valid_samples is not None:
        valid = jnp.arange(signal.shape[1])[None, :] < valid_samples[:, None]
        noise = jnp.where(valid[..., None], noise, 0.0)
    return signal + noise


def drop_leads(key: Array, lead_mask: Array, probability: float) -> Array:
    """Lose leads at a rate that varies by ECG, U(0, 2 probability), (B, L) bool -> (B, L) bool.

    Most ECGs keep most leads and some keep few, so the model meets both.
    """
    rate_key, lead_key = jax.random.split(key)
    rate = 2.0 * probability * jax.random.uniform(rate_key, (lead_mask.shape[0], 1))
    return lead_mask & (jax.random.uniform(lead_key, lead_mask.shape) >= rate)


def random_lead_mask(key: Array, lead_mask: Array, probability: float, keep_one: bool) -> Array:
    """Which leads survive random lead masking (Oh et al. 2022), (B, L) bool -> (B, L) bool.

    Each recorded lead vanishes with ``probability``. ``keep_one`` saves one recorded lead of a
    segment that would lose all of them (the original may lose all, once in 4,096 segments at 0.5).
    """
    draw = jax.random.uniform(key, lead_mask.shape)
    survivors = lead_mask & (draw >= probability)
    if keep_one:
        best = jnp.argmax(jnp.where(lead_mask, draw, -1.0), -1)
        rescued = (jnp.arange(lead_mask.shape[1]) == best[:, None]) & lead_mask
        survivors = jnp.where(survivors.any(-1, keepdims=True), survivors, rescued)
    return survivors


def mixup(key: Array, signal: Array, labels: Array, alpha: float) -> tuple[Array, Array]:
    """Convex mixtures of ECGs and labels (Zhang et al. 2018); unknown labels stay unknown.

    (B, T, L), (B, C) -> the same shapes. Each ECG is mixed with the one opposite in the batch,
    which is in random order already.
    """
    share = jax.random.beta(key, alpha, alpha, (signal.shape[0],))
    share = jnp.maximum(share, 1.0 - share)
    other = labels[::-1]
    mixed = share[:, None] * labels + (1.0 - share[:, None]) * other
    mixed = jnp.where((labels < 0) | (other < 0), -1.0, mixed)
    weight = share[:, None, None]
    return weight * signal + (1.0 - weight) * signal[::-1], mixed
