"""Mixtures of ECGs."""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.objectives.segments import apply_lead_mask

Array = jax.Array


def mixed(alpha: float, key: Array, view: View) -> View:
    """Mixtures of ECGs and of their labels; see `mixup`."""
    assert view.labels is not None  # only `LabelledViewConfig` makes this change
    shown = apply_lead_mask(view.signal, view.lead_mask)
    signal, labels = mixup(key, shown, view.labels, alpha)
    valid = view.valid_samples
    valid = None if valid is None else jnp.maximum(valid, valid[::-1])
    # what was missing is zero in both parts already
    return View(signal, jnp.ones_like(view.lead_mask), valid, labels)


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
