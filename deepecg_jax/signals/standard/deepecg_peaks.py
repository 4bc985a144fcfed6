"""Which frequencies DeepECG's preprocessing takes for interference, from mean spectra alone.

DeepECG_Docker (HeartWise-AI, 2024), ``utils/ecg_signal_processor.py``, restated: peaks of lead I
in a sliding window, and for each lead the band around a peak between the nearest crossings of its
spectrum with a smooth trend. Order of detection, order of comparison and float32 arithmetic are
kept, because the bands depend on them.
"""

import numpy as np

from deepecg_jax.signals.standard.lowess import lowess

Range = tuple[float, float]

LEAST_PEAK_HZ, LEAST_CROSSING_HZ = 20.0, 30.0
WINDOW_HZ, MERGE_HZ = 5.0, 1.0
DEVIATIONS, HARMONIC_SHARE = 5.0, 0.65
HARMONICS, HARMONIC_TOLERANCE = (2, 3, 4), 0.05
MEDIAN_BINS, LOWESS_FRACTION = 5, 0.1


def find_peak_ranges(frequencies: np.ndarray, spectrum: np.ndarray) -> list[Range]:
    """Ranges (low, high) in Hz of the peaks of a spectrum; ``low`` may lie above ``high``.

    frequencies (F,) Hz ascending and equally spaced from 0; spectrum (F,) float32. Peaks are
    merged in the order in which they are found, window by window: a step back, to a frequency
    that an earlier window also flagged, never ends a range.
    """
    keep = frequencies >= LEAST_PEAK_HZ
    width = int(WINDOW_HZ / (frequencies[1] - frequencies[0]))
    found = frequencies[keep][_flagged(frequencies[keep], spectrum[keep], width)]
    if not len(found):
        return []
    starts = np.flatnonzero(np.diff(found) > MERGE_HZ) + 1
    runs = np.split(found, starts)
    return [(float(run[0]), float(run[-1])) for run in runs]


def _flagged(frequencies: np.ndarray, spectrum: np.ndarray, width: int) -> np.ndarray:
    """Bins above mean + k standard deviations of some window, as often as they are found.

    k is smaller for harmonics of what was flagged before, so the few candidates are visited one
    by one in the original's order (windows, then bins); all comparisons are made beforehand.
    """
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(spectrum, width))
    mean, deviation = windows.mean(axis=1)[:, None], windows.std(axis=1)[:, None]
    high = windows > mean + DEVIATIONS * deviation
    if not high.any():
        return np.zeros(0, int)
    high_enough = windows > mean + DEVIATIONS * HARMONIC_SHARE * deviation
    harmonic = np.zeros(len(frequencies), bool)
    seen = np.zeros(len(frequencies), bool)
    flagged = []
    for window, offset in np.argwhere(high_enough).tolist():
        at = window + offset
        if not (high[window, offset] or harmonic[at]):
            continue
        flagged.append(at)
        if not seen[at]:
            seen[at] = True
            for order in HARMONICS:
                target = frequencies[at] * order
                harmonic |= np.isclose(frequencies, target, rtol=HARMONIC_TOLERANCE)
    return np.array(flagged)


def find_crossings(
    frequencies: np.ndarray, spectra: np.ndarray, ranges: list[Range]
) -> list[list[Range]]:
    """For each lead the bands around ``ranges`` where its spectrum leaves its smooth trend.

    frequencies (F,) Hz; spectra (L, F) float32. A side without a crossing keeps the range's end.
    """
    if not ranges:
        return [[] for _ in spectra]
    from scipy.signal import medfilt  # imported here because it takes a second

    keep = frequencies >= LEAST_CROSSING_HZ
    frequencies, spectra = frequencies[keep], spectra[:, keep]
    smooth = np.stack([medfilt(spectrum, MEDIAN_BINS) for spectrum in spectra])
    trend = lowess(frequencies, smooth, LOWESS_FRACTION)
    above, below = spectra > trend, spectra < trend
    changes = (above[:, :-1] & below[:, 1:]) | (below[:, :-1] & above[:, 1:])
    return [[_crossing(frequencies, lead, ends) for ends in ranges] for lead in changes]


def _crossing(frequencies: np.ndarray, changes: np.ndarray, ends: Range) -> Range:
    """``changes[i]``: the sign changes between bins i and i + 1."""
    middle = int(np.abs(frequencies - (ends[0] + ends[1]) / 2).argmin())
    below = np.flatnonzero(changes[:middle])
    above = np.flatnonzero(changes[middle:])
    low = float(frequencies[below[-1] + 1]) if below.size else ends[0]
    high = float(frequencies[middle + above[0]]) if above.size else ends[1]
    return low, high
