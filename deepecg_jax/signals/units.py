"""Voltage units by name, and the whole numbers that shards hold."""

import numpy as np

from deepecg_jax.signals.recording import SignalError

# Unit, in lower case -> millivolts per unit. The micro sign and the Greek mu are two characters.
_MILLIVOLTS = {
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("uv", "\u00b5v", "\u03bcv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6),
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
}
STORED_STEP = np.float32(1e-3)
"""One count of a stored signal: a thousandth of what the data set's contract says, so a microvolt
where that is millivolts, and a thousandth of a standard deviation where leads are z-scored."""


def millivolts_per_unit(unit: str) -> float:
    """Factor from ``unit`` (mV, uV, nV, V in any case) to millivolts; SignalError (``unit``)."""
    factor = _MILLIVOLTS.get(unit.strip().lower())
    if factor is None:
        raise SignalError(
            "read", "unit", f"unit {unit!r} is no voltage; known are mV, uV, nV and V."
        )
    return factor


def from_stored(counts: np.ndarray) -> np.ndarray:
    """A stored signal, int16 of any shape -> float32 as the data set's contract describes it."""
    return counts.astype(np.float32) * STORED_STEP
