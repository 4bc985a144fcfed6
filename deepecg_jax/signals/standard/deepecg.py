"""The standardisation of DeepECG, whose result for one ECG depends on the others of its batch.

DeepECG_Docker (HeartWise-AI, 2024) scales a batch so that the mean magnitude of lead I's spectrum
is that of PTB-XL, finds peaks in the batch's mean spectrum, and flattens the bands around them in
every ECG. This is that algorithm to the rounding of float32, for comparisons with published
models. For new work take true millivolts and a site profile
(:mod:`deepecg_jax.signals.standard.site_profile`): as batches of one, the factor of 50 ordinary
ECGs ranged from 0.57 to 2.2, so that amplitudes in millivolts are lost.
"""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.standard.deepecg_peaks import Range, find_crossings, find_peak_ranges

SAMPLING_RATE, N_SAMPLES = 250.0, 2500
TARGET_MAGNITUDE = 3.003154
"""Mean magnitude of lead I's spectrum over PTB-XL, all 2500 bins, mV."""
WIDEN_HZ = 1.0
_LEADS = len(STANDARD_LEADS)
_CHUNK = 256  # ECGs whose spectra are changed at once: 20 MB


@dataclass(frozen=True)
class BatchInfo:
    """What a batch's ECGs had in common.

    ``factor``: what all samples were multiplied by; ``peak_ranges``: (low, high) Hz of the peaks of
    lead I in order of detection (``low`` may lie above ``high``); ``crossings``: for each of the 12
    leads the bands around them, before they are widened by 1 Hz on both sides.
    """

    factor: float
    peak_ranges: list[Range]
    crossings: list[list[Range]]


def standardize(signals: np.ndarray) -> tuple[np.ndarray, BatchInfo]:
    """One batch of ECGs as DeepECG's preprocessing makes them.

    >>> ecgs = np.stack([de.standardize(de.read("ecg.hea"))[0].signal] * 2)
    >>> cleaned, info = de.standardize_deepecg(ecgs)
    >>> cleaned.shape, info.factor > 0
    ((2, 2500, 12), True)

    Args:
        signals: (N, 2500, 12) millivolts at 250 Hz, leads I II III aVR aVL aVF V1 to V6. The
            result depends on all of them, but not on their order beyond rounding.

    Returns:
        (N, 2500, 12) float32 and what was found. Without a peak the ECGs are only scaled. About
        50 kB an ECG of working memory are needed beside input and output.

    Raises:
        UserError: another shape, no ECG, a value that is not finite (the original would turn the
            whole batch into NaN), or a lead I that is zero in every ECG.
    """
    signals = np.asarray(signals)
    _check(signals)
    leads = (signals[:, :, lead] for lead in range(_LEADS))
    power = np.mean(_mean_magnitude(np.fft.fft(next(leads).astype(np.float32))))
    if not power > 0:
        raise UserError(
            "The batch cannot be scaled as DeepECG does: lead I is zero in all of its "
            f"{len(signals)} ECGs."
        )
    # Plain numbers are weak in numpy: the quotient is float32, as in the original.
    factor = TARGET_MAGNITUDE / power
    frequencies = np.fft.fftfreq(N_SAMPLES, 1 / SAMPLING_RATE)[: N_SAMPLES // 2]

    def scaled(lead: int) -> np.ndarray:
        return (signals[:, :, lead] * factor).astype(np.float32)

    spectra = np.empty((_LEADS, N_SAMPLES // 2), np.float32)
    spectra[0] = _mean_magnitude(np.fft.fft(scaled(0)))[: N_SAMPLES // 2]
    ranges = find_peak_ranges(frequencies, spectra[0])
    if ranges:
        for lead in range(1, _LEADS):
            spectra[lead] = _mean_magnitude(np.fft.fft(scaled(lead)))[: N_SAMPLES // 2]
    crossings = find_crossings(frequencies, spectra, ranges)
    cleaned = np.empty(signals.shape, np.float32)
    for lead, bands in enumerate(crossings):
        ecgs = scaled(lead)
        for start in range(0, len(ecgs), _CHUNK) if bands else ():
            part = slice(start, start + _CHUNK)
            ecgs[part] = _flatten(ecgs[part], frequencies, bands)
        cleaned[:, :, lead] = ecgs
    return cleaned, BatchInfo(float(factor), ranges, crossings)


def application_order(bands: list[Range]) -> list[Range]:
    """The widened bands in the order in which they are applied: the last one stands.

    The original iterates a Python ``set``. CPython hashes pairs of numbers without a random seed,
    so that order is a property of the numbers and is reproduced by making the same set.
    """
    return list({(low - WIDEN_HZ, high + WIDEN_HZ) for low, high in bands})


def _check(signals: np.ndarray) -> None:
    if signals.ndim != 3 or signals.shape[1:] != (N_SAMPLES, _LEADS) or not len(signals):
        raise UserError(
            f"DeepECG's standardisation takes ECGs of shape (N, {N_SAMPLES}, {_LEADS}) in mV at "
            f"{SAMPLING_RATE:g} Hz, at least one, not {signals.shape}."
        )
    if not np.issubdtype(signals.dtype, np.number) or np.iscomplexobj(signals):
        raise UserError(f"DeepECG's standardisation takes numbers, not {signals.dtype}.")
    for position, ecg in enumerate(signals):
        finite = np.isfinite(ecg)
        if not finite.all():
            lead = STANDARD_LEADS[int((~finite).any(axis=0).argmax())]
            raise UserError(
                f"ECG {position} of the batch has NaN or infinite values in lead {lead}, which "
                "would spoil all ECGs of the batch; leave it out or fill the lead with 0."
            )


def _mean_magnitude(spectra: np.ndarray) -> np.ndarray:
    """(N, F) complex64 -> (F,) float32."""
    return np.abs(spectra).mean(axis=0)


def _flatten(ecgs: np.ndarray, frequencies: np.ndarray, bands: list[Range]) -> np.ndarray:
    """Replace magnitudes inside the widened bands by straight lines, keeping the phases.

    ecgs: (N, T) float32. Every line starts from the spectrum as it was, whatever an earlier band
    changed; a band that is inverted or no wider than a bin is left out.
    """
    spectrum = np.fft.fft(ecgs)
    magnitude = np.abs(spectrum)
    flattened = spectrum.copy()
    for low, high in application_order(bands):
        first = int(np.searchsorted(frequencies, low, side="left"))
        last = int(np.searchsorted(frequencies, high, side="right")) - 1
        if low >= high or first >= last:
            continue
        bins = np.arange(first, last + 1)
        share = (frequencies[bins] - frequencies[first]) / (frequencies[last] - frequencies[first])
        line = magnitude[:, [first]] * (1 - share) + magnitude[:, [last]] * share
        inside = magnitude[:, bins]
        phase = np.where(inside > 0, spectrum[:, bins] / np.where(inside > 0, inside, 1), 1)
        flattened[:, bins] = line * phase
        flattened[:, -bins] = np.conj(flattened[:, bins])
    return np.fft.ifft(flattened).real
