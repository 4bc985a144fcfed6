"""The first thing that happens to a batch on the device: microvolts to millivolts, segments, masks.

Shards and host batches stay int16, half the bytes of float32 to the device; random masking is a
function of the step's key there, so it does not depend on the number of hosts.
"""

import jax
import jax.numpy as jnp

Array = jax.Array
MILLIVOLTS_PER_UNIT = 1e-3


def to_millivolts(signal: Array) -> Array:
    """int16 microvolts -> float32 millivolts; floating input is taken as millivolts already."""
    if jnp.issubdtype(signal.dtype, jnp.integer):
        return signal.astype(jnp.float32) * MILLIVOLTS_PER_UNIT
    return signal.astype(jnp.float32)


def split_segments(signal: Array, segments: int = 2) -> Array:
    """(B, T, L) -> (segments * B, T // segments, L), all first segments, then all second ones."""
    length = signal.shape[1] // segments
    parts = [signal[:, i * length : (i + 1) * length] for i in range(segments)]
    return jnp.concatenate(parts, 0)


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


def apply_lead_mask(signal: Array, lead_mask: Array) -> Array:
    """Zero the leads that are masked, (B, T, L), (B, L) -> (B, T, L)."""
    return jnp.where(lead_mask[:, None, :], signal, 0.0)
