"""Voltage units by name, and the one that signals are stored in."""

from typing import Any, TypeVar

import numpy as np

from deepecg_jax.signals.recording import SignalError

# Unit, in lower case -> millivolts per unit. The micro sign and the Greek mu are two characters.
_MILLIVOLTS = {
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("uv", "\u00b5v", "\u03bcv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6),
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
}


def millivolts_per_unit(unit: str) -> float:
    """Factor from ``unit`` (mV, uV, nV, V in any case) to millivolts; SignalError (``unit``)."""
    factor = _MILLIVOLTS.get(unit.strip().lower())
    if factor is None:
        raise SignalError(
            "read", "unit", f"unit {unit!r} is no voltage; known are mV, uV, nV and V."
        )
    return factor


MILLIVOLTS_PER_STORED_UNIT = 1e-3  # shards hold microvolts (or thousandths of a z-score) as int16
Samples = TypeVar("Samples", bound=Any)  # an array of NumPy or JAX


def to_millivolts(signal: Samples) -> Samples:
    """Samples as stored, int16 -> float32 millivolts; floating ones are taken as millivolts."""
    if np.issubdtype(signal.dtype, np.integer):
        return signal.astype(np.float32) * MILLIVOLTS_PER_STORED_UNIT
    return signal.astype(np.float32)
