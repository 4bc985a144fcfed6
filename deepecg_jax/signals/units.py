"""Voltage units by name."""

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
