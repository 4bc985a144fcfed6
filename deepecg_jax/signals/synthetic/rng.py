"""Counter-based random numbers: a draw depends on (seed, stream, number, position) alone.

A stateful generator per record is slow to set up, and one shared generator would make a record
depend on which others are generated with it. Hashing a counter gives every record its own stream,
vectorised over records.

Source: SplitMix64, G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014, with the finaliser constants of S. Vigna's public-domain splitmix64.
"""

import functools

import numpy as np
from scipy.special import ndtri

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: uint64 of any shape -> uint64 of the same shape."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


class Draws:
    """A stream of draws for each of N numbers (record indices or patient numbers).

    Every call takes the next positions of all N streams, whatever the values were; so a caller must
    not let the *number* of its calls depend on data.
    """

    def __init__(self, seed: int, stream: int, numbers: np.ndarray):
        root = np.array([seed % 2**64, stream], dtype=np.uint64)
        salt = mix(mix(root[:1]) + root[1:] * _GAMMA)
        self._keys = mix(mix(numbers.astype(np.uint64) + _GAMMA) ^ salt)
        self._position = 0

    def bits(self, count: int) -> np.ndarray:
        """The next `count` 64-bit words of every stream: (N, count) uint64."""
        counter = np.arange(self._position + 1, self._position + count + 1, dtype=np.uint64)
        self._position += count
        return mix(self._keys[:, None] + (counter * _GAMMA)[None, :])

    def uniform(self, count: int | None = None) -> np.ndarray:
        """Uniform on the open interval (0, 1): (N,) or, with a count, (N, count) float64."""
        words = self.bits(1 if count is None else count)
        values = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54
        return values[:, 0].copy() if count is None else values

    def between(self, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        """Uniform on (low, high): (N,) float64."""
        return low + (high - low) * self.uniform()

    def normal(self, count: int | None = None) -> np.ndarray:
        """Standard normal by inversion: (N,) or (N, count) float64."""
        return ndtri(self.uniform(count))

    def fast_normal(self, count: int) -> np.ndarray:
        """Standard normal from a 16-bit table, four values a word: (N, count) float32, below 4.4.

        For sample noise: 20,000 values a record, for which 16 bits of resolution are plenty.
        """
        words = self.bits((count + 3) // 4)
        return normal_table()[words.astype("<u8", copy=False).view("<u2")[:, :count]]


@functools.cache
def normal_table() -> np.ndarray:
    """Normal quantiles at the midpoints of 65,536 equal cells: (65536,) float32."""
    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)
