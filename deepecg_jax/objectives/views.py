"""Every random change of an ECG on the device, in one place, for pretraining and fine-tuning.

Shards and host batches stay int16, half the bytes of float32 to the device; what is random is a
function of the step's key there, so it does not depend on the number of hosts. Each change has a
name that its part of the key follows, so that adding one changes no other.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from pydantic import Field

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.objective import Batch
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.units import STORED_STEP

Array = jax.Array


class ViewConfig(Settings):
    """Random changes of the training ECGs."""

    crop_seconds: float | None = Field(
        default=None, gt=0, description="length of a random piece, s; null: the whole ECG"
    )
    lead_masking: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="an ECG loses each lead with a probability up to twice this",
    )
    gain_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of the log of a random gain of each lead"
    )
    noise_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of white noise on each lead, mV"
    )

    def length(self, sampling_rate: float) -> int | None:
        """Samples of a piece; None: the whole ECG."""
        return None if self.crop_seconds is None else round(self.crop_seconds * sampling_rate)


class LabelledViewConfig(ViewConfig):
    """The same with changes that change labels too."""

    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup (Zhang et al. 2018) on signals and labels; 0: none",
    )


class View(NamedTuple):
    """What a model is shown of a batch."""

    signal: Array  # (B, T, L) float32 millivolts
    lead_mask: Array  # (B, L) bool; `apply_lead_mask` zeroes the others
    valid_samples: Array | None = None  # (B,) int, samples before zero padding; None: none is
    labels: Array | None = None  # (B, C) float32, negative where unknown


Change = Callable[[Array, View], View]
"""(key, view) -> view."""


def check_views(
    config: ViewConfig, contract: SignalContract, model: EncoderConfig, where: str
) -> None:
    """UserError if the pieces that are cut out are longer than the ECGs of ``where``, or shorter
    than one token.
    """
    length = config.length(contract.sampling_rate)
    if length is None:
        return
    if length > contract.n_samples:
        raise UserError(
            f"augment.crop_seconds={config.crop_seconds:g} is longer than the ECGs of {where}, "
            f"which are {contract.seconds:g} s; choose at most that, or null for whole ECGs."
        )
    if length < 1 or model.n_tokens(length) < 1:
        raise UserError(
            f"augment.crop_seconds={config.crop_seconds:g} leaves {length} samples, less than one "
            f"token of the encoder ({model.samples_per_token} samples); choose more."
        )


def changes_of(config: ViewConfig, sampling_rate: float) -> dict[str, Change]:
    """The configured changes by name, in their order; empty where nothing changes."""
    found: dict[str, Change] = {}
    length = config.length(sampling_rate)
    if length is not None:
        found["crop"] = partial(_crop, length)
    if config.gain_deviation:
        found["gain"] = partial(_gain, config.gain_deviation)
    if config.noise_deviation:
        found["noise"] = partial(_noise, config.noise_deviation)
    if config.lead_masking:
        found["leads"] = partial(_leads, config.lead_masking)
    if isinstance(config, LabelledViewConfig) and config.mixup:
        found["mixup"] = partial(_mixup, config.mixup)
    return found


def viewed(key: Array, view: View, changes: Mapping[str, Change]) -> View:
    """All changes one after another, each with its own key."""
    for name, change in changes.items():
        view = change(change_key(key, name), view)
    return view


def viewed_batch(key: Array, batch: Batch, changes: Mapping[str, Change]) -> Batch:
    """A batch of pretraining after its changes, ``signal`` in float32 millivolts."""
    view = View(to_millivolts(batch["signal"]), batch["lead_mask"], batch.get("valid_samples"))
    view = viewed(key, view, changes)
    new = {"signal": view.signal, "lead_mask": view.lead_mask}
    if view.valid_samples is not None:
        new["valid_samples"] = view.valid_samples
    return {**batch, **new}


# version 0.1 split the key into four, a part for each of these: they keep it, so that its runs
# repeat; what came later is keyed by name
_PLACES = {"crop": 0, "gain": 1, "leads": 2, "mixup": 3}


def change_key(key: Array, name: str) -> Array:
    """The part of a key that belongs to the change of that name."""
    if name in _PLACES:
        return jax.random.split(key, len(_PLACES))[_PLACES[name]]
    return named_key(key, name)


def named_key(key: Array, name: str) -> Array:
    """A key for what is called ``name``, whatever else is drawn from ``key``."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


# ---- the changes ---------------------------------------------------------------------------------


def _crop(length: int, key: Array, view: View) -> View:
    signal, valid = random_crop(key, view.signal, length, view.valid_samples)
    return view._replace(signal=signal, valid_samples=valid)


def _gain(deviation: float, key: Array, view: View) -> View:
    return view._replace(signal=random_gain(key, view.signal, deviation))


def _noise(deviation: float, key: Array, view: View) -> View:
    return view._replace(signal=white_noise(key, view.signal, deviation, view.valid_samples))


def _leads(probability: float, key: Array, view: View) -> View:
    return view._replace(lead_mask=drop_leads(key, view.lead_mask, probability))


def _mixup(alpha: float, key: Array, view: View) -> View:
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


# ---- nothing random ------------------------------------------------------------------------------


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
