"""The samples that the writers write: the same for all formats."""

import numpy as np

RATE = 500
"""Hz of all files."""


def counts(n_samples: int = 5000, n_leads: int = 12, seed: int = 0) -> np.ndarray:
    """(T, L) int16: a beat a second of about 1 mV at 5 uV a count, limb leads by Einthoven."""
    t = np.arange(n_samples) / RATE
    beat = np.exp(-(((t % 1) - 0.4) ** 2) / 2e-4) + 0.2 * np.exp(-(((t % 1) - 0.65) ** 2) / 2e-3)
    rng = np.random.default_rng(seed)
    sizes = np.array([0.7, 1.1, *rng.uniform(0.5, 1.5, 6)])
    waves = 200 * beat[:, None] * sizes + rng.normal(0, 3, (n_samples, 8))
    eight = np.rint(waves).astype(np.int64)
    if n_leads == 8:
        return eight.astype("<i2")
    first, second, chest = eight[:, 0] // 2 * 2, eight[:, 1] // 2 * 2, eight[:, 2:]
    limb = [first, second, second - first, -(first + second) // 2]
    limb += [first - second // 2, second - first // 2]
    return np.column_stack([*limb, chest]).astype("<i2")
