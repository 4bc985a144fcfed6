"""The table of changes, and how a batch goes through those that a config asks for.

Shards and host batches stay int16, half the bytes of float32 to the device; what is random is a
function of the step's key there, so it does not depend on the number of hosts. Each change has a
name that its part of the key follows, so that adding one changes no other.
"""

from collections.abc import Mapping
from functools import partial

import jax

from deepecg_jax.objectives.augmentation import changes
from deepecg_jax.objectives.augmentation.config import LabelledViewConfig, ViewConfig
from deepecg_jax.objectives.augmentation.view import Change, View, change_key
from deepecg_jax.objectives.objective import Batch
from deepecg_jax.objectives.segments import to_millivolts

Array = jax.Array


def changes_of(config: ViewConfig, sampling_rate: float) -> dict[str, Change]:
    """The configured changes by name, in their order; empty where nothing changes."""
    found: dict[str, Change] = {}
    length = config.length(sampling_rate)
    if length is not None:
        found["crop"] = partial(changes.crop, length)
    if config.gain_deviation:
        found["gain"] = partial(changes.gain, config.gain_deviation)
    if config.noise_deviation:
        found["noise"] = partial(changes.noise, config.noise_deviation)
    if config.lead_masking:
        found["leads"] = partial(changes.leads, config.lead_masking)
    if isinstance(config, LabelledViewConfig) and config.mixup:
        found["mixup"] = partial(changes.mixed, config.mixup)
    return found


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
