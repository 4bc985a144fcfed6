"""Which devices share the resamples."""

from collections.abc import Sequence
from typing import TypeAlias

import jax

from deepecg_jax.errors import UserError

Devices: TypeAlias = Sequence[jax.Device]  # pyright: ignore[reportInvalidTypeForm]


def choose_devices(number: int) -> Devices | None:
    """The first `number` local devices, all for 0; ``None`` for the default device alone.

    Raises:
        UserError: there are fewer.
    """
    if number == 1:
        return None
    there = jax.local_devices()
    if number > len(there):
        raise UserError(f"--devices {number}, but there are {len(there)}; use 0 for all of them.")
    chosen = there[: number or None]
    return chosen if len(chosen) > 1 else None
