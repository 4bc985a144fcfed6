"""Leads that are lost."""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View

Array = jax.Array


def leads(probability: float, key: Array, view: View) -> View:
    """Leads are lost; see `drop_leads`."""
    return view._replace(lead_mask=drop_leads(key, view.lead_mask, probability))


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
