"""Arrays at addresses that JAX's CPU devices take as they are."""

import math

import numpy as np
from numpy.typing import DTypeLike

_BYTES = 64  # XLA's alignment; from any other address a CPU device copies


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """`numpy.empty` that begins at a multiple of 64 bytes (not for arrays of Python objects).

    Whoever gives it to a device must not write to it any more.
    """
    kind = np.dtype(dtype)
    if kind.hasobject:
        return np.empty(shape, kind)
    size = math.prod(shape) * kind.itemsize
    memory = np.empty(size + _BYTES, np.uint8)
    start = -memory.ctypes.data % _BYTES
    return memory[start : start + size].view(kind).reshape(shape)


def copy(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a multiple of 64 bytes."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made
