"""The two views of each ECG of a batch."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.apply import changes_of, viewed
from deepecg_jax.objectives.augmentation.config import ViewConfig
from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.objectives.objective import Batch
from deepecg_jax.objectives.segments import apply_lead_mask, split_segments, to_millivolts

Array = jax.Array


class Pairs(NamedTuple):
    """The views of an ECG one after another (`segments_of` tells them apart)."""

    signal: Array  # (2 B, T, L) float32 millivolts, leads that are missing zero
    valid_samples: Array | None  # (2 B,) int, or None if nothing is padded


def two_views(
    batch: Batch,
    pair: Literal["halves", "changes"],
    config: ViewConfig,
    sampling_rate: float,
    key: Array,
) -> Pairs:
    """The views of a batch, each after changes of its own.

    batch: ``signal`` (B, T, L), ``lead_mask`` (B, L) and, where ECGs are padded, ``valid_samples``
        (B,), which halves do not have.
    """
    signal = to_millivolts(batch["signal"])
    valid = batch.get("valid_samples")
    if pair == "halves":
        signal = split_segments(signal)
    else:
        signal = twice(signal)
        valid = None if valid is None else twice(valid)
    view = View(signal, twice(batch["lead_mask"]), valid)
    view = viewed(key, view, changes_of(config, sampling_rate))
    shown = apply_lead_mask(view.signal, view.lead_mask)
    return Pairs(rows_split(shown), view.valid_samples)


def twice(x: Array) -> Array:
    """(B, ...) -> (2 B, ...), each row two times, on the device that holds it."""
    return rows_split(jnp.repeat(x, 2, 0))
