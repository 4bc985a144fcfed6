"""Fixed positions of tokens in time."""

import functools

import numpy as np


@functools.cache
def sine_cosine(n: int, width: int) -> np.ndarray:
    """Sine-cosine positions (Vaswani et al. 2017), (n, width) float32.

    The first half of the width holds sines and the second cosines, of wavelengths from 2 pi tokens
    to nearly 20,000 pi; an odd width lacks the last cosine.
    """
    half = -(-width // 2)
    phase = np.outer(np.arange(n), 10_000.0 ** -(np.arange(half) / half))
    return np.concatenate([np.sin(phase), np.cos(phase)], 1)[:, :width].astype(np.float32)
