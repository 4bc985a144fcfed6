"""Philips XML: what a file unpacks to, before it is unpacked.

XLI, Philips' compression, is LZW with codes of 10 bits: a code of 10 bits can stand for 767 bytes,
so a file of 10 MB may hold 6 GB. The sizes follow from the codes alone, without unpacking.
"""

import base64
import binascii
import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from deepecg_jax.signals.recording import SignalError

ROOT_TAG = "restingecgdata"
_MAX_LEADS = 256
_MAX_UNPACKED = 8 * 2**20
"""Bytes: 12 leads of 16 bits at 1000 Hz for 5 min; a 10 s ECG has 120 kB."""

_BITS, _LITERALS, _LAST_CODE = 10, 256, 1022


def check_philips(path: Path, root: Element) -> None:
    """SignalError (``too_large``) for absurd numbers of leads or of samples in packed leads."""
    for tag in ("numberchannelsallocated", "numberchannelsvalid"):
        for element in root.iter(tag):
            text = (element.text or "").strip()
            if not re.fullmatch(r"[0-9]{0,3}", text) or int(text or 0) > _MAX_LEADS:
                raise _too_large(path, f"{text[:40]!r} channels")
    for waveform in root.iter("parsedwaveforms"):
        how = [waveform.get(name, "") for name in ("compression", "compressmethod")]
        if "XLI" not in " ".join(how).upper():
            continue
        try:
            data = base64.b64decode("".join((waveform.text or "").split()), validate=True)
        except (binascii.Error, ValueError):
            return  # the parser refuses it with its own words
        if unpacked_size(data) > _MAX_UNPACKED:
            raise _too_large(path, f"more than {_MAX_UNPACKED // 2**20} MiB of packed samples")


def unpacked_size(data: bytes) -> int:
    """Bytes that XLI chunks (8 bytes of header, then LZW) unpack to."""
    total, at = 0, 0
    while len(data) - at >= 8:
        size = int.from_bytes(data[at : at + 4], "little")
        total += _lzw_size(data[at + 8 : at + 8 + size])
        at += 8 + size
    return total


def _lzw_size(chunk: bytes) -> int:
    bits = np.unpackbits(np.frombuffer(chunk, np.uint8))
    n_codes = len(bits) // _BITS
    weights = 1 << np.arange(_BITS - 1, -1, -1)
    codes = bits[: n_codes * _BITS].reshape(n_codes, _BITS) @ weights
    ends = np.flatnonzero(codes > _LAST_CODE)
    codes = codes[: ends[0]] if ends.size else codes
    lengths = np.zeros(_LAST_CODE + 1, np.int64)
    lengths[:_LITERALS] = 1
    total, previous, free = 0, 0, _LITERALS
    for number, code in enumerate(codes.tolist()):
        if free > _LAST_CODE and lengths.all():  # the table no longer changes
            return total + int(lengths[codes[number:]].sum())
        if not lengths[code]:
            lengths[code] = previous + 1
        if previous and free <= _LAST_CODE:
            lengths[free] = previous + 1
            free += 1
        previous = int(lengths[code])
        total += previous
    return total


def _too_large(path: Path, what: str) -> SignalError:
    return SignalError("read", "too_large", f"{path} announces {what}, which no ECG has.")
