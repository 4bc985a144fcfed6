"""The table of changes, and how a batch goes through those that a config asks for.

Shards and host batches stay int16, half the bytes of float32 to the device; what is random is a
function of the step's key there, so it does not depend on the number of hosts. Each change has a
name that its part of the key follows, so that adding one changes no other.
"""

from collections.abc import Mapping
from functools import partial

import jax

from deepecg_jax.objectives.augmentation import amplitude, leads, mixing, noise, pieces
from deepecg_jax.objectives.augmentation.config import LabelledViewConfig, ViewConfig
from deepecg_jax.objectives.augmentation.vectorcardiogram import vectorcardiogram
from deepecg_jax.objectives.augmentation.view import Change, View, change_key
from deepecg_jax.objectives.objective import Batch
from deepecg_jax.objectives.segments import to_millivolts

Array = jax.Array


def changes_of(config: ViewConfig, sampling_rate: float) -> dict[str, Change]:
    """The configured changes by name, in their order; empty where nothing changes."""
    found: dict[str, Change] = {}
    length = config.length(sampling_rate)
    if length is not None and config.time_scaling:
        found["scaled_crop"] = partial(pieces.scaled_crop, length, config.time_scaling)
    elif length is not None:
        found["crop"] = partial(pieces.crop, length)
    gain, common = config.gain_deviation, config.common_gain_deviation
    drift, hum = config.wander_amplitude, config.powerline_amplitude
    span, lead_span = (
        round(seconds * sampling_rate)
        for seconds in (config.cutout_seconds, config.lead_cutout_seconds)
    )
    # by name: how much, and the change
    possible: dict[str, tuple[float, Change]] = {
        "vectorcardiogram": (
            config.turns_dipole,
            partial(vectorcardiogram, config.rotation_degrees, config.dipole_scaling),
        ),
        "gain": (gain, partial(amplitude.gain, gain)),
        "common_gain": (common, partial(amplitude.common_gain, common)),
        "noise": (config.noise_deviation, partial(noise.noise, config.noise_deviation)),
        "wander": (drift, partial(noise.wander, drift, sampling_rate)),
        "powerline": (hum, partial(noise.powerline, hum, config.powerline_hertz, sampling_rate)),
        "cutout": (span, partial(pieces.cutout, span)),
        "lead_cutout": (lead_span, partial(pieces.lead_cutout, lead_span)),
        "leads": (config.lead_masking, partial(leads.leads, config.lead_masking)),
    }
    if isinstance(config, LabelledViewConfig):
        possible["mixup"] = (config.mixup, partial(mixing.mixed, config.mixup))
    return found | {name: change for name, (strength, change) in possible.items() if strength}


def viewed(key: Array, view: View, chosen: Mapping[str, Change]) -> View:
    """All changes one after another, each with its own key."""
    for name, change in chosen.items():
        view = change(change_key(key, name), view)
    return view


def viewed_batch(key: Array, batch: Batch, chosen: Mapping[str, Change]) -> Batch:
    """A batch of pretraining after its changes, ``signal`` in float32 millivolts."""
    view = View(to_millivolts(batch["signal"]), batch["lead_mask"], batch.get("valid_samples"))
    view = viewed(key, view, chosen)
    new = {"signal": view.signal, "lead_mask": view.lead_mask}
    if view.valid_samples is not None:
        new["valid_samples"] = view.valid_samples
    return {**batch, **new}
