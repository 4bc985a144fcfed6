"""What a model is shown of a batch, and whose key a random change has."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax

Array = jax.Array


class View(NamedTuple):
    """What a model is shown of a batch."""

    signal: Array  # (B, T, L) float32 millivolts
    lead_mask: Array  # (B, L) bool; `apply_lead_mask` zeroes the others
    valid_samples: Array | None = None  # (B,) int, samples before zero padding; None: none is
    labels: Array | None = None  # (B, C) float32, negative where unknown


Change = Callable[[Array, View], View]
"""(key, view) -> view."""


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
