"""The standardisation of fairseq-signals (Jwoo5) and ECG-FM: 500 Hz, z-scores, pieces of 5 s.

``scripts/preprocess/ecg/preprocess.py`` restated: linear interpolation to 500 Hz on a grid whose
first and last points are those of the recording, each lead of the whole recording to mean 0 and
population standard deviation 1, then pieces of 2500 samples without overlap; what is left over at
the end is dropped. Nothing is filtered, and an ECG never depends on another. Two differences:
limb leads are derived where they can be, and a lead that is missing or flat is 0 and masked (there
it is NaN and spreads).
"""

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.leads import canonical_lead, to_standard
from deepecg_jax.signals.quality.check import QualityLimits, inspect
from deepecg_jax.signals.quality.interference import interference
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.standard.millivolt import Keep, Window

CONTRACT = SignalContract(sampling_rate=500.0, seconds=5.0, scaling="fairseq")
"""z-scores stand where other scalings have millivolts: stored as thousandths in int16."""
_FIRST_SECONDS = 10.0
_LARGEST = 32.767


def interpolate(signal: np.ndarray, rate_in: float, rate_out: float = 500.0) -> np.ndarray:
    """Linear interpolation of (T, L) to ``int(T * rate_out / rate_in)`` samples, float64.

    The first and the last sample stay where they are, so that time is stretched by up to one
    sample over the recording; no filter guards against aliasing when the rate falls.
    """
    if rate_in == rate_out:
        return np.asarray(signal, np.float64)
    n_samples = int(len(signal) * rate_out / rate_in)
    if len(signal) < 2 or n_samples < 2:
        return np.repeat(np.asarray(signal[:1], np.float64), n_samples, axis=0)
    grid = np.linspace(0, n_samples - 1, len(signal))
    at = np.arange(n_samples)
    return np.stack([np.interp(at, grid, lead) for lead in np.asarray(signal, np.float64).T], 1)


def zscore(signal: np.ndarray) -> np.ndarray:
    """Each lead of (T, L) to mean 0 and population deviation 1; a constant lead to 0. float64."""
    signal = np.asarray(signal, np.float64)
    deviation = signal.std(axis=0)
    constant = signal.max(axis=0) == signal.min(axis=0)
    centred = np.where(constant, 0.0, signal - signal.mean(axis=0))
    return centred / np.where(constant, 1.0, deviation)


def pieces(signal: np.ndarray, n_samples: int = CONTRACT.n_samples) -> np.ndarray:
    """(T, L) -> (W, n_samples, L): whole pieces from the start, none if it is shorter."""
    count = len(signal) // n_samples
    return signal[: count * n_samples].reshape(count, n_samples, signal.shape[1])


def standardize(
    recording: Recording, keep: Keep = "first", limits: QualityLimits | None = None
) -> list[Window]:
    """Check a recording, and make the pieces of 5 s of its z-scores at 500 Hz.

    keep: the pieces of the ``first`` 10 s, or ``all``; the z-score is of the whole recording
        either way.

    Raises SignalError: the checks of :func:`deepecg_jax.signals.quality.check.inspect`, fewer
    than 5 s (``too_short``), or a z-score beyond 32.767 (``amplitude``), where int16 thousandths
    end.
    """
    inspection = inspect(recording, limits or QualityLimits())
    columns = [
        column
        for column, name in enumerate(recording.leads)
        if (lead := canonical_lead(name)) is not None and lead not in inspection.flat_leads
    ]
    names = [recording.leads[column] for column in columns]
    derive = not inspection.measures["lead_gains_normalised"]
    standard, mask = to_standard(recording.signal[:, columns], names, derive)
    scaled = zscore(interpolate(standard, recording.sampling_rate, CONTRACT.sampling_rate))
    parts = pieces(scaled)
    if not len(parts):
        raise SignalError(
            "standardize",
            "too_short",
            f"the recording lasts {recording.seconds:.3g} s, less than one piece of "
            f"{CONTRACT.seconds:g} s.",
        )
    if (peak := float(np.abs(scaled).max())) > _LARGEST:
        raise SignalError(
            "standardize",
            "amplitude",
            f"a z-score reaches {peak:.3g}, but they are stored up to {_LARGEST}; a lead holds "
            "nothing but an artefact.",
        )
    if keep == "first":
        parts = parts[: int(_FIRST_SECONDS / CONTRACT.seconds)]
    quality = dict(inspection.measures)
    recorded = {canonical_lead(name) for name in names}
    derived = [lead for lead, there in zip(STANDARD_LEADS, mask, strict=True) if there]
    quality["n_derived_leads"] = float(sum(lead not in recorded for lead in derived))
    rate = SignalContract().sampling_rate  # as for the other standardisations
    first = standard[: round(_FIRST_SECONDS * recording.sampling_rate), mask]
    quality |= interference(resample(first, recording.sampling_rate, rate), rate)
    return [
        Window(part.astype(np.float32), mask, CONTRACT.n_samples, index, dict(quality))
        for index, part in enumerate(parts)
    ]
