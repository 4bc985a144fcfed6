"""Which times of an ECG JEPA shows and which it predicts."""

from typing import NamedTuple

import jax

from deepecg_jax.errors import UserError
from deepecg_jax.objectives.jepa.settings import JEPASettings
from deepecg_jax.objectives.masking.blocks import block_mask
from deepecg_jax.objectives.masking.keeping import (
    fewest_kept,
    kept_count,
    most_kept,
    random_tokens,
)
from deepecg_jax.objectives.masking.multiblock import least_shown, most_shown, multiblock_mask

Array = jax.Array


class TimeMask(NamedTuple):
    """Times that are shown to the encoder in training, and times that are to be predicted."""

    shown: Array  # (B, n) bool, true somewhere in every row
    predicted: Array  # (B, n) bool, true nowhere where ``shown`` is


def time_mask(key: Array, rows: int, times: int, settings: JEPASettings) -> TimeMask:
    """A mask of ``times`` tokens for each of ``rows`` ECGs; `most_times` bounds what it shows.

    Raises:
        UserError: there are too few times.
    """
    _require(times, settings)
    if settings.mask == "multiblock":
        drawn = multiblock_mask(key, rows, times, settings.blocks, settings.block, settings.context)
        return TimeMask(drawn.shown, drawn.predicted)
    count_key, place_key = jax.random.split(key)
    kept = kept_count(count_key, times, settings.keep)
    if settings.mask == "random":
        shown = random_tokens(place_key, rows, times, kept)
        return TimeMask(shown, ~shown)
    fewest = fewest_kept(times, settings.keep)
    hidden = block_mask(place_key, rows, times, kept, fewest, settings.shortest_block)
    return TimeMask(~hidden, hidden)


def most_times(times: int, settings: JEPASettings) -> int:
    """The most of ``times`` tokens that a row of `time_mask` shows."""
    if settings.mask == "multiblock":
        return most_shown(times, settings.block, settings.context)
    return most_kept(times, settings.keep)


def _require(times: int, settings: JEPASettings) -> None:
    """UserError if a row could show nothing, or hide nothing."""
    enough = times >= 2
    if settings.mask == "multiblock":
        enough = least_shown(times, settings.blocks, settings.block, settings.context) > 0
    if not enough:
        raise UserError(
            f"objective.mask={settings.mask} needs more than the {times} tokens that the encoder "
            "makes of an ECG; choose one with fewer samples a token, or longer ECGs "
            "(augment.crop_seconds)."
        )
