"""Follow-up with everything that can go wrong in a real one."""

import numpy as np


def draw(seed, n, whole_days=True, competing=True, censoring=1.0, rate=1.0):
    """(time, event, score, patient): ties in days and scores, censoring, deaths."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, max(1, n // 2), n)
    risk = rng.normal(size=n // 2 + 1)[patient] * 0.8 + rng.normal(size=n) * 0.5
    onset = rng.exponential(2500 / rate * np.exp(-risk))
    lost = rng.exponential(1800 / censoring, n)
    died = rng.exponential(4000, n) if competing else np.full(n, np.inf)
    time = np.minimum(np.minimum(onset, lost), died)
    event = np.where(time == onset, 1, np.where(time == died, 2, 0)).astype(np.int8)
    if whole_days:
        time, risk = np.ceil(time / 60) * 60, np.round(risk, 1)
    return time, event, risk, patient
