"""DeepECG's standardisation written down plainly, loop by loop, with statsmodels' lowess."""

import numpy as np
from scipy.signal import medfilt
from statsmodels.nonparametric.smoothers_lowess import lowess

FREQUENCIES = np.fft.fftfreq(2500, 1 / 250)


def mean_spectrum(lead: np.ndarray) -> np.ndarray:
    return np.mean([np.abs(np.fft.fft(ecg)) for ecg in lead.astype(np.float32)], axis=0)


def peak_ranges(spectrum: np.ndarray) -> list[tuple[float, float]]:
    keep = FREQUENCIES >= 20
    frequencies, spectrum = FREQUENCIES[keep].tolist(), spectrum[keep]
    flagged: list[float] = []
    distinct: set[float] = set()
    for start in range(len(spectrum) - 49):
        window = spectrum[start : start + 50]
        mean, deviation = np.mean(window), np.std(window)
        for offset in range(50):
            frequency = frequencies[start + offset]
            limit = 5.0
            for lower in distinct:
                for order in (2, 3, 4):
                    if abs(frequency - lower * order) <= 1e-8 + 0.05 * lower * order:
                        limit = 3.25
            if window[offset] > mean + limit * deviation:
                flagged.append(frequency)
                distinct.add(frequency)
    ranges: list[tuple[float, float]] = []
    for number, frequency in enumerate(flagged):
        if number and frequency - flagged[number - 1] <= 1:
            ranges[-1] = (ranges[-1][0], frequency)
        else:
            ranges.append((frequency, frequency))
    return ranges


def crossings(spectrum: np.ndarray, ranges: list[tuple[float, float]]) -> list:
    keep = FREQUENCIES >= 30
    f, m = FREQUENCIES[keep], spectrum[keep]
    trend = lowess(medfilt(m, 5), f, frac=0.1, return_sorted=False)
    sign = np.sign(m - trend)
    found = []
    for low, high in ranges:
        middle = int(np.argmin(np.abs(f - (low + high) / 2)))
        for i in range(middle, 0, -1):
            if sign[i - 1] * sign[i] < 0:
                low = float(f[i])
                break
        for i in range(middle, len(f) - 1):
            if sign[i] * sign[i + 1] < 0:
                high = float(f[i])
                break
        found.append((low, high))
    return found


def flatten(ecg: np.ndarray, bands: list[tuple[float, float]]) -> np.ndarray:
    before = np.fft.fft(ecg.astype(np.float32))
    after = before.copy()
    half = FREQUENCIES[:1250]
    for low, high in {(low - 1, high + 1) for low, high in bands}:
        start = np.searchsorted(half, low, "left")
        end = min(np.searchsorted(half, high, "right") - 1, 1249)
        if low >= high or start == end:
            continue
        for i in range(start, end + 1):
            left, right = np.abs(before[start]), np.abs(before[end])
            share = (half[i] - half[start]) / (half[end] - half[start])
            magnitude = left + (right - left) * share
            after[i] = magnitude * np.exp(1j * np.angle(before[i]))
            after[-i] = magnitude * np.exp(1j * np.angle(before[-i]))
    return np.fft.ifft(after).real


def standardize(signals: np.ndarray) -> tuple[np.ndarray, float, list, list]:
    """(cleaned, factor, peak ranges, crossings of the 12 leads)."""
    factor = 3.003154 / np.mean(mean_spectrum(signals[:, :, 0]))
    scaled = signals * factor
    spectra = [mean_spectrum(scaled[:, :, lead]) for lead in range(12)]
    ranges = peak_ranges(spectra[0])
    if not ranges:
        return scaled.astype(np.float32), float(factor), [], [[] for _ in range(12)]
    bands = [crossings(spectrum, ranges) for spectrum in spectra]
    cleaned = np.stack(
        [
            [flatten(ecg, bands[lead]) for ecg in scaled[:, :, lead].astype(np.float32)]
            for lead in range(12)
        ],
        axis=-1,
    )
    return cleaned.astype(np.float32), float(factor), ranges, bands
