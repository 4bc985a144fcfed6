"""The parts of a WFDB header that wfdb replaces by defaults or recomputes, read as they stand.

wfdb assumes 250 Hz when the sampling rate is absent, a gain of 200 when the gain is absent or 0,
drops non-ASCII letters (``uV`` written with a micro sign becomes ``V``), and overwrites wrong
checksums with right ones. Format: https://wfdb.io/spec/header-files.html
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from deepecg_jax.signals.reading.limits import check_values, read_bytes
from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.units import millivolts_per_unit

_MAX_HEADER_BYTES = 2**20
_MAX_SAMPLES_A_FRAME = 1000
_GAIN = re.compile(
    r"^(?P<gain>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>.+))?$"
)
# A signal written in full, with one reading only: all nine fields in ASCII, one sample a frame, and
# a file in the record's folder (of any letters: wfdb would drop those that are not ASCII). Almost
# every file's signals are; those that are not are taken apart field by field.
_FULL = re.compile(
    r"(?P<file>[^\s#~./\\-][^\s#~/\\]*)"
    r"[ \t]+(?P<format>\d{1,3})(?:x1)?(?:\+(?P<offset>\d{1,9}))?"
    r"[ \t]+(?P<gain>\d{1,12}(?:\.\d{1,12})?)(?:\((?P<baseline>-?\d{1,9})\))?"
    r"(?:/(?P<unit>[A-Za-z]+))?"
    r"[ \t]+\d{1,3}[ \t]+(?P<zero>-?\d{1,9})[ \t]+-?\d{1,9}[ \t]+(?P<checksum>-?\d{1,9})"
    r"[ \t]+\d{1,9}[ \t]+(?P<name>[^\s#]+)",
    re.ASCII,
)
_COUNT = re.compile(r"[0-9]{1,15}")
_FORMAT = re.compile(
    r"[0-9]{1,3}(?:x(?P<frame>[0-9]{1,9}))?(?::(?P<skew>[0-9]{1,15}))?(?:\+[0-9]{1,15})?"
)


@dataclass(frozen=True)
class WfdbHeader:
    """Rate (Hz), and per signal the millivolts per unit and the checksum (None if absent)."""

    sampling_rate: float
    n_samples: int | None
    to_millivolts: tuple[float, ...]
    checksums: tuple[int | None, ...]
    plain: bool
    """No skew and one sample a frame, so that the checksums apply to the signal as returned."""
    signal_lines: tuple[str, ...]
    units_per_count: tuple[float, ...] = ()
    """Millivolts per digital unit."""
    comments: dict[str, str] = field(default_factory=dict)
    full: tuple[dict[str, str | None], ...] | None = None
    """The fields of all signals, if every one is written in full."""


def read_header(path: Path) -> WfdbHeader:
    """Parse a ``.hea`` file.

    SignalError (``read``): ``unreadable``, ``unknown_rate``, ``unit`` or ``too_large``.
    """
    raw = read_bytes(path, _MAX_HEADER_BYTES)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    signal_lines = [line for line in lines if not line.startswith("#")]
    records = [line.split() for line in signal_lines]
    if not records or len(records[0]) < 2 or not _COUNT.fullmatch(records[0][1]):
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
    n_samples = int(first[3]) if len(first) > 3 and _COUNT.fullmatch(first[3]) else None
    full = _all_full(signal_lines[1:])
    if full is None:
        _check_frames(path, signals, n_samples)
        factors = [_factor(tokens, path) for tokens in signals]
        checksums = tuple(_checksum(tokens) for tokens in signals)
        plain = all(re.fullmatch(r"\d+(x1)?(\+\d+)?", tokens[1]) for tokens in signals)
    else:
        check_values(path, n_samples or 0, len(full))
        factors = [_calibration(one["gain"], one["unit"], one["name"], path) for one in full]
        checksums, plain = tuple(int(one["checksum"] or 0) for one in full), True
    return WfdbHeader(
        sampling_rate=_rate(first, path),
        n_samples=n_samples or None,
        to_millivolts=tuple(unit for unit, _ in factors),
        checksums=checksums,
        plain=plain,
        signal_lines=tuple(signal_lines[1:]),
        units_per_count=tuple(unit / gain for unit, gain in factors),
        comments=_comments(lines),
        full=full,
    )


def _all_full(lines: list[str]) -> tuple[dict[str, str | None], ...] | None:
    found = []
    for line in lines:
        match = _FULL.fullmatch(line)
        if match is None:
            return None
        found.append(match.groupdict())
    return tuple(found)


def _check_frames(path: Path, signals: list[list[str]], n_samples: int | None) -> None:
    """wfdb allocates by these numbers before it looks into the signal file."""
    total = 0
    for number, tokens in enumerate(signals, start=1):
        match = _FORMAT.fullmatch(tokens[1]) if len(tokens) > 1 else None
        frame = int(match["frame"] or 1) if match else 0
        if match is None or not 1 <= frame <= _MAX_SAMPLES_A_FRAME:
            raise SignalError(
                "read", "unreadable", f"{path} gives no storage format for signal {number}."
            )
        if int(match["skew"] or 0) > (n_samples or 0):
            raise SignalError(
                "read", "unreadable", f"{path} skews signal {number} by more than its length."
            )
        total += frame
    check_values(path, n_samples or 0, total)


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


def _factor(tokens: list[str], path: Path) -> tuple[float, float]:
    """Millivolts per unit, and units per count's inverse (the gain)."""
    match = _GAIN.match(tokens[2]) if len(tokens) > 2 else None
    return _calibration(match and match["gain"], match and match["unit"], tokens[-1], path)


def _calibration(
    gain: str | None, unit: str | None, name: str | None, path: Path
) -> tuple[float, float]:
    number = float(gain) if gain else 0.0
    if number == 0 or not math.isfinite(number):
        raise SignalError(
            "read", "unit", f"{path} gives no gain for signal {name!r}: it is not calibrated."
        )
    try:
        # mV is the format's own default
        return millivolts_per_unit(unit or "mV"), number
    except SignalError as error:
        raise SignalError("read", "unit", f"{path}, signal {name!r}: {error}") from error


def _checksum(tokens: list[str]) -> int | None:
    token = tokens[6] if len(tokens) > 6 else ""
    return int(token) if re.fullmatch(r"-?[0-9]{1,9}", token) else None


def _comments(lines: list[str]) -> dict[str, str]:
    """``# Key: value`` lines; the first of equal keys, keys in lower case."""
    found: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.lstrip("# \t").partition(":")
        if line.startswith("#") and colon and key.strip():
            found.setdefault(key.strip().lower(), value.strip())
    return found
