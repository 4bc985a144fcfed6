"""The parts of a WFDB header that wfdb replaces by defaults or recomputes, read as they stand.

wfdb assumes 250 Hz when the sampling rate is absent, a gain of 200 when the gain is absent or 0,
drops non-ASCII letters (``uV`` written with a micro sign becomes ``V``), and overwrites wrong
checksums with right ones. Format: https://wfdb.io/spec/header-files.html
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from deepecg_jax.signals.recording import SignalError

_GAIN = re.compile(
    r"^(?P<gain>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>.+))?$"
)
# Unit, in lower case -> millivolts per unit. The micro sign and the Greek mu are two characters.
_MILLIVOLTS = {
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("uv", "\u00b5v", "\u03bcv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
}


@dataclass(frozen=True)
class WfdbHeader:
    """Rate (Hz), and per signal the millivolts per unit and the checksum (None if absent)."""

    sampling_rate: float
    n_samples: int | None
    to_millivolts: tuple[float, ...]
    checksums: tuple[int | None, ...]
    plain: bool
    """No skew and one sample a frame, so that the checksums apply to the signal as returned."""
    comments: dict[str, str] = field(default_factory=dict)


def millivolts_per_unit(unit: str) -> float:
    """Factor from ``unit`` (mV, uV, V in any case) to millivolts; SignalError (``unit``)."""
    factor = _MILLIVOLTS.get(unit.strip().lower())
    if factor is None:
        raise SignalError("read", "unit", f"unit {unit!r} is no voltage; known are mV, uV and V.")
    return factor


def read_header(path: Path) -> WfdbHeader:
    """Parse a ``.hea`` file; SignalError ``unreadable``, ``unknown_rate`` or ``unit``."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SignalError("read", "unreadable", f"{path} cannot be read ({error}).") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    records = [line.split() for line in lines if not line.startswith("#")]
    if not records or len(records[0]) < 2 or not records[0][1].isdigit():
        raise SignalError("read", "unreadable", f"{path} is not a WFDB header.")
    first, signals = records[0], records[1:]
    if "/" in first[0]:
        raise SignalError("read", "unreadable", f"{path} is a multi-segment record.")
    n_signals = int(first[1])
    if n_signals == 0 or len(signals) != n_signals:
        raise SignalError(
            "read",
            "unreadable",
            f"{path} announces {n_signals} signals but describes {len(signals)}.",
        )
    n_samples = int(first[3]) if len(first) > 3 and first[3].isdigit() else None
    return WfdbHeader(
        sampling_rate=_rate(first, path),
        n_samples=n_samples or None,
        to_millivolts=tuple(_factor(tokens, path) for tokens in signals),
        checksums=tuple(_checksum(tokens) for tokens in signals),
        plain=all(re.fullmatch(r"\d+(x1)?(\+\d+)?", tokens[1]) for tokens in signals),
        comments=_comments(lines),
    )


def _rate(tokens: list[str], path: Path) -> float:
    token = tokens[2].split("/")[0] if len(tokens) > 2 else ""
    try:
        rate = float(token)
    except ValueError as error:
        raise SignalError(
            "read", "unknown_rate", f"{path} does not state a sampling rate."
        ) from error
    if not 0 < rate < math.inf:
        raise SignalError("read", "unknown_rate", f"{path} states a sampling rate of {token} Hz.")
    return rate


def _factor(tokens: list[str], path: Path) -> float:
    match = _GAIN.match(tokens[2]) if len(tokens) > 2 else None
    if match is None or float(match["gain"]) == 0:
        raise SignalError(
            "read", "unit", f"{path} gives no gain for signal {tokens[-1]!r}: it is not calibrated."
        )
    try:
        return millivolts_per_unit(match["unit"] or "mV")  # mV is the format's own default
    except SignalError as error:
        raise SignalError("read", "unit", f"{path}, signal {tokens[-1]!r}: {error}") from error


def _checksum(tokens: list[str]) -> int | None:
    token = tokens[6] if len(tokens) > 6 else ""
    return int(token) if re.fullmatch(r"-?\d+", token) else None


def _comments(lines: list[str]) -> dict[str, str]:
    """``# Key: value`` lines; the first of equal keys, keys in lower case."""
    found: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.lstrip("# \t").partition(":")
        if line.startswith("#") and colon and key.strip():
            found.setdefault(key.strip().lower(), value.strip())
    return found
