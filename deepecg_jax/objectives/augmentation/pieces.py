"""Pieces of ECGs: which one is shown, how fast it runs, and what is cut out of it."""

import math

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View

Array = jax.Array


def crop(length: int, key: Array, view: View) -> View:
    """A random piece of ``length`` samples of each ECG; see `random_crop`."""
    signal, valid = random_crop(key, view.signal, length, view.valid_samples)
    return view._replace(signal=signal, valid_samples=valid)


def scaled_crop(length: int, scaling: float, key: Array, view: View) -> View:
    """A random piece of each ECG that runs faster or slower; see `random_scaled_crop`."""
    signal, valid = random_scaled_crop(key, view.signal, length, scaling, view.valid_samples)
    return view._replace(signal=signal, valid_samples=valid)


def cutout(length: int, key: Array, view: View) -> View:
    """A span of all leads is set to zero; see `random_spans`."""
    samples = view.signal.shape[1]
    span = random_spans(key, view.signal.shape[0], samples, length, view.valid_samples)
    return view._replace(signal=jnp.where(span[..., None], 0.0, view.signal))


def lead_cutout(length: int, key: Array, view: View) -> View:
    """A span of one of the recorded leads is set to zero; see `random_spans`."""
    rows, samples, leads = view.signal.shape
    span_key, lead_key = jax.random.split(key)
    span = random_spans(span_key, rows, samples, length, view.valid_samples)
    draw = jnp.where(view.lead_mask, jax.random.uniform(lead_key, (rows, leads)), -1.0)
    chosen = jnp.argmax(draw, -1)[:, None] == jnp.arange(leads)
    return view._replace(signal=jnp.where(span[..., None] & chosen[:, None], 0.0, view.signal))


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


def random_scaled_crop(
    key: Array,
    signal: Array,
    length: int,
    scaling: float,
    valid_samples: Array | None = None,
) -> tuple[Array, Array | None]:
    """A random piece of each ECG at another speed, (B, T, L) -> (B, length, L), and its valid
    samples, (B,) or None.

    Samples are interpolated linearly. The speed is log-uniform from 1 / (1 + scaling) to
    1 + scaling: a piece shows so many times ``length`` samples of the ECG. It contains padding,
    zero as before, only where the ECG is shorter than that, which only a padded one may be.
    """
    rows, samples, _ = signal.shape
    if valid_samples is None and (length - 1) * (1.0 + scaling) > samples - 1:
        raise ValueError(
            f"{length} samples at {1 + scaling:g} times the speed are not in {samples}"
        )
    speed_key, start_key = jax.random.split(key)
    most = math.log1p(scaling)
    speed = jnp.exp(jax.random.uniform(speed_key, (rows,), minval=-most, maxval=most))
    last = (jnp.full((rows,), samples) if valid_samples is None else valid_samples) - 1
    room = jnp.maximum(last - (length - 1) * speed, 0.0)
    start = room * jax.random.uniform(start_key, (rows,))
    place = start[:, None] + speed[:, None] * jnp.arange(length)
    # rounding may lead a little over the end
    before = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, last[:, None])
    after = jnp.minimum(before + 1, last[:, None])
    weight = (place - before)[..., None]
    taken = [jnp.take_along_axis(signal, index[..., None], 1) for index in (before, after)]
    piece = taken[0] + weight * (taken[1] - taken[0])
    if valid_samples is None:
        return piece, None
    shown = jnp.minimum(jnp.floor((last - start) / speed).astype(jnp.int32) + 1, length)
    valid = jnp.where(room > 0, length, jnp.maximum(shown, 0))
    inside = jnp.arange(length)[None, :] < valid[:, None]
    return jnp.where(inside[..., None], piece, 0.0), valid


def random_spans(
    key: Array, rows: int, samples: int, length: int, valid_samples: Array | None = None
) -> Array:
    """A random span of ``length`` samples in each row, (B, T) bool, before its padding."""
    end = samples if valid_samples is None else valid_samples
    start = jax.random.randint(key, (rows,), 0, jnp.maximum(end - length, 0) + 1)
    place = jnp.arange(samples)[None, :]
    return (place >= start[:, None]) & (place < start[:, None] + length)
