"""Noise, baseline wander and powerline interference of one ECG, in millivolts.

Cheap enough for every record of a build (one FFT): they are kept as quality measures, and the
powerline rule is also what site profiles count (:mod:`deepecg_jax.signals.standard.site_profile`).
"""

import math
import statistics
from typing import Any

import numpy as np
from scipy import fft

from deepecg_jax.signals.quality.medians import median

MEASURES: tuple[str, ...] = (
    *("noise", "worst_noise", "baseline_wander", "powerline", "powerline_amplitude"),
)
MAINS_HZ: tuple[float, ...] = (50.0, 60.0)
LINE_HALF_WIDTH_HZ, NEIGHBOURS_HZ = 0.3, (1.0, 5.0)
LEAST_RATIO, LEAST_AMPLITUDE = 10.0, 0.005
WANDER_HZ = 0.5
LEAST_SECONDS = 4.0
_BLOCK_SECONDS = 0.1


def interference(signal: np.ndarray, sampling_rate: float) -> dict[str, float]:
    """Measures of the recorded leads (T, L) mV, without padding.

    ``noise``: standard deviation that white noise would have with the second differences of the
    quiet parts (the median over blocks of 0.1 s, so that QRS complexes do not count), median over
    leads, mV; ``worst_noise``: of the noisiest lead. ``baseline_wander``: root mean square of what
    is slower than 0.5 Hz, over all leads, mV. ``powerline``: 50 or 60 Hz, or 0 where neither
    stands out (see :func:`line`); ``powerline_amplitude``: its amplitude, root mean square over
    leads, mV. NaN where it cannot be measured: fewer than 4 s, or a rate too low for 60 Hz.
    """
    x = np.ascontiguousarray(np.asarray(signal, np.float32).T)
    n_leads, n_samples = x.shape
    found = dict.fromkeys(MEASURES, math.nan)
    if not n_leads or n_samples < 3:
        return found
    noise = _noise(x, sampling_rate)
    found |= {"noise": statistics.median(noise.tolist()), "worst_noise": float(noise.max())}
    if n_samples < LEAST_SECONDS * sampling_rate:
        return found
    resolution = sampling_rate / n_samples
    highest = max(MAINS_HZ) + NEIGHBOURS_HZ[1]
    power = power_spectrum(x, math.ceil(highest / resolution) + 1).mean(axis=0)
    slow = power[1 : math.ceil(WANDER_HZ * n_samples / sampling_rate)]
    found["baseline_wander"] = math.sqrt(float(slow.sum(dtype=np.float64)))
    if highest > sampling_rate / 2:
        return found
    lines = [(line(power, resolution, mains), mains) for mains in MAINS_HZ]
    amplitude, mains = max(lines)
    found["powerline"] = mains if amplitude else 0.0
    found["powerline_amplitude"] = amplitude
    return found


def power_spectrum(signal: np.ndarray, bins: int | None = None) -> np.ndarray:
    """(L, T) -> (L, T // 2 + 1): mean square of each frequency's sine, without the mean (0 Hz).

    Without a window: ten seconds hold whole periods of 50 and 60 Hz. ``bins``: only the first.
    """
    spectrum: Any = fft.rfft(signal, axis=1)  # SciPy has no types for it
    spectrum = spectrum[:, :bins]
    power = (spectrum.real**2 + spectrum.imag**2) * np.float32(2 / signal.shape[1] ** 2)
    power[:, 0] = 0
    return power


def line(power: np.ndarray, resolution: float, frequency: float) -> float:
    """Amplitude (mV) of a line in a power spectrum (F,) of mean squares, or 0.

    The power within 0.3 Hz of ``frequency``, less what the neighbours at a distance of 1 to 5 Hz
    would give, is a line if it is ten times theirs and of at least 5 microvolts. The ECG's own
    harmonics raise the neighbours as well and therefore do not pass for one.
    """
    at = frequency / resolution
    start = math.ceil(at - LINE_HALF_WIDTH_HZ / resolution)
    near = power[start : start + math.floor(2 * LINE_HALF_WIDTH_HZ / resolution) + 1].tolist()
    inner, outer = (round(hz / resolution) for hz in NEIGHBOURS_HZ)
    middle = round(at)
    below = power[middle - outer : middle - inner].tolist()
    above = power[middle + inner : middle + outer].tolist()
    # Sums of Python's floats: numpy's calls take longer on a hundred numbers.
    floor = (sum(below) / len(below) + sum(above) / len(above)) / 2 * len(near)
    total = sum(near)
    amplitude = math.sqrt(2 * max(total - floor, 0.0))
    return amplitude if total >= LEAST_RATIO * floor and amplitude >= LEAST_AMPLITUDE else 0.0


def _noise(x: np.ndarray, sampling_rate: float) -> np.ndarray:
    """(L, T) -> (L,) mV; a second difference of white noise has six times its variance."""
    slope = x[:, 1:] - x[:, :-1]
    bend = slope[:, 1:] - slope[:, :-1]
    width = max(1, min(round(_BLOCK_SECONDS * sampling_rate), bend.shape[1]))
    count = bend.shape[1] // width
    blocks = bend[:, : count * width].reshape(len(x), count, width)
    return np.sqrt(median(np.einsum("lbt,lbt->lb", blocks, blocks)) / (6 * width))
