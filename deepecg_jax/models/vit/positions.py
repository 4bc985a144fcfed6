"""Where a token stands: the time and the lead of its patch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
_LONGEST = 10000.0  # of the wavelengths, over 2 pi (Vaswani et al. 2017)


@functools.cache
def time_waves(n: int, width: int) -> np.ndarray:
    """Fixed sine-cosine positions of ``n`` patches in time, (N, D) float32, D even.

    Position t is sin(t / w_k) for each of D / 2 wavelengths w_k = 10000^(2k / D), then their
    cosines: the vectors of Vaswani et al. (2017) with the sines in the first half.
    """
    half = width // 2
    angle = np.arange(n)[:, None] * _LONGEST ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)


def crossing(places: Array, n_times: int) -> Array:
    """Which tokens share a lead or a time: Kim's cross-pattern attention (2024).

    places: (B, K) int, of tokens among those of all leads, ``n_times`` of each.
    Result: (B, K + 1, K + 1) bool. The first is the register, which sees all and is seen by all.
    """
    lead, time = places // n_times, places % n_times
    same = [of[:, :, None] == of[:, None, :] for of in (lead, time)]
    return jnp.pad(same[0] | same[1], ((0, 0), (1, 0), (1, 0)), constant_values=True)
