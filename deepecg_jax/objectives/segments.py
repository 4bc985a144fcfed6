"""Signals as objectives take them: millivolts, segments of an ECG, masked leads."""

import jax
import jax.numpy as jnp

from deepecg_jax.models.sharding import rows_split
from deepecg_jax.signals.units import STORED_STEP

Array = jax.Array


def to_millivolts(signal: Array) -> Array:
    """Signals as stored, int16 -> float32 millivolts; floating ones are taken as millivolts."""
    if jnp.issubdtype(signal.dtype, jnp.integer):
        return signal.astype(jnp.float32) * STORED_STEP
    return signal.astype(jnp.float32)


def split_segments(signal: Array, segments: int = 2) -> Array:
    """(B, T, L) -> (B * segments, T // segments, L), the segments of an ECG one after another.

    So they stay on the device that holds the ECG (`segments_of` tells them apart again).
    """
    batch, samples, leads = signal.shape
    length = samples // segments
    pieces = signal[:, : length * segments].reshape(batch * segments, length, leads)
    return rows_split(pieces)


def segments_of(x: Array, segments: int = 2) -> tuple[Array, ...]:
    """(B * segments, ...) in the order of `split_segments` -> (B, ...) for each segment."""
    by_ecg = x.reshape(-1, segments, *x.shape[1:])
    return tuple(rows_split(by_ecg[:, i]) for i in range(segments))


def apply_lead_mask(signal: Array, lead_mask: Array) -> Array:
    """Zero the leads that are masked, (B, T, L), (B, L) -> (B, T, L)."""
    return jnp.where(lead_mask[:, None, :], signal, 0.0)
