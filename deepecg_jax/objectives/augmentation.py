"""Random changes of labelled ECGs in training."""

import jax
import jax.numpy as jnp

Array = jax.Array


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
    """Each lead of each ECG times exp(deviation * N(0, 1))."""
    gain = jnp.exp(deviation * jax.random.normal(key, (signal.shape[0], 1, signal.shape[2])))
    return signal * gain


def drop_leads(key: Array, lead_mask: Array, probability: float) -> Array:
    """Lose leads at a rate that varies by ECG, U(0, 2 probability), (B, L) bool -> (B, L) bool.

    Most ECGs keep most leads and some keep few, so the classifier meets both.
    """
    rate_key, lead_key = jax.random.split(key)
    rate = 2.0 * probability * jax.random.uniform(rate_key, (lead_mask.shape[0], 1))
    return lead_mask & (jax.random.uniform(lead_key, lead_mask.shape) >= rate)


def mixup(key: Array, signal: Array, labels: Array, alpha: float) -> tuple[Array, Array]:
    """Convex mixtures of ECGs and labels (Zhang et al. 2018); unknown labels stay unknown.

    Each ECG is mixed with the one opposite in the batch, which is in random order already.
    """
    share = jax.random.beta(key, alpha, alpha, (signal.shape[0],))
    share = jnp.maximum(share, 1.0 - share)
    other = labels[::-1]
    mixed = share[:, None] * labels + (1.0 - share[:, None]) * other
    mixed = jnp.where((labels < 0) | (other < 0), -1.0, mixed)
    weight = share[:, None, None]
    return weight * signal + (1.0 - weight) * signal[::-1], mixed
