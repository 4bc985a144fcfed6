"""Arrays of numbers in MATLAB 5 files, read without trusting a single length in them.

SciPy's reader may allocate what a damaged file announces, and may crash the process. Format:
MathWorks, MAT-File Format, version 5: 128 bytes, then elements of a tag (type, bytes) and as many
bytes; a packed one is a zlib stream of an element. A matrix is made of elements itself: flags,
dimensions, name, real part.
"""

import math
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepecg_jax.signals.reading.limits import check_values, read_bytes
from deepecg_jax.signals.recording import SignalError

MAX_FILE_BYTES = 64 * 2**20
MAX_UNPACKED_BYTES = 128 * 2**20
"""12 leads as doubles at 500 Hz for 45 min."""
MAGIC = b"MATLAB 5.0"
_HEAD, _TAG = 128, 8
_MATRIX, _PACKED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_NUMBERS = range(6, 16)  # classes of matrices: double, single, integers
_COMPLEX = 0x0800
_MOST_AXES = 4


class _Damaged(ValueError):
    """Something in the file contradicts itself."""


class _Element(NamedTuple):
    kind: int
    data: bytes


def read_mat5(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names that are there; others are skipped.

    SignalError (``read``): ``unreadable`` (absent, another format, damaged), ``too_large``.
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEAD - 2 : _HEAD])
    if not data.startswith(MAGIC) or order is None:
        raise SignalError("read", "unreadable", f"{path} is no MATLAB 5 file.")
    found: dict[str, np.ndarray] = {}
    left = MAX_UNPACKED_BYTES
    try:
        for element in _elements(data[_HEAD:], order, aligned=False):
            if element.kind == _PACKED:
                unpacked = _unpacked(path, element.data, left)
                left -= len(unpacked)
                element = next(_elements(unpacked, order), _Element(0, b""))
            if element.kind == _MATRIX:
                _note(path, element.data, order, names, found)
    except (_Damaged, zlib.error) as error:
        raise SignalError("read", "unreadable", f"{path} is damaged ({error}).") from error
    return found


def _elements(data: bytes, order: str, aligned: bool = True) -> Iterator[_Element]:
    """One element after another; ``aligned``: each is filled up to a multiple of 8 bytes."""
    place = 0
    while place + _TAG <= len(data):
        kind, size = np.frombuffer(data, f"{order}u4", 2, place).tolist()
        start = place + _TAG
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise _Damaged("a short element is too long")
        if start + size > len(data):
            raise _Damaged("it ends within an element")
        yield _Element(kind, data[start : start + size])
        place = place + _TAG if start == place + 4 else start + size
        if aligned:
            place += -place % 8


def _unpacked(path: Path, packed: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(packed, max(1, most + 1))
    if len(data) > most:
        raise SignalError(
            "read",
            "too_large",
            f"{path} unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB.",
        )
    return data


def _note(
    path: Path, matrix: bytes, order: str, names: Collection[str], found: dict[str, np.ndarray]
) -> None:
    """Put a matrix of one of ``names`` into ``found``."""
    parts = _elements(matrix, order)
    flags, axes, name = (next(parts, _Element(0, b"")).data for _ in range(3))
    title = name.decode("ascii", "replace")
    if title not in names:
        return
    shape = tuple(np.frombuffer(axes[: len(axes) // 4 * 4], f"{order}i4").tolist())
    if len(flags) != 8 or not 1 <= len(shape) <= _MOST_AXES or min(shape) < 0:
        raise _Damaged(f"{title} has no shape")
    check_values(path, math.prod(shape), 1)
    said = int(np.frombuffer(flags, f"{order}u4", 1)[0])
    if said & 0xFF not in _NUMBERS or said & _COMPLEX:
        raise _Damaged(f"{title} is no array of numbers")
    stored = next(parts, _Element(0, b""))
    if stored.kind not in _TYPES:
        raise _Damaged(f"{title} is of the unknown type {stored.kind}")
    dtype = np.dtype(order + _TYPES[stored.kind])
    if len(stored.data) != math.prod(shape) * dtype.itemsize:
        raise _Damaged(f"{title} has another length than its shape")
    found[title] = np.frombuffer(stored.data, dtype).reshape(shape, order="F")
