"""Checks of a recording: what makes it unusable, and the measures behind the verdict.

What the limb-lead check can and cannot see: it finds any single swap, inversion or mislabelling
among the six limb leads and any chest lead filed as a limb lead. It cannot see a swap of
*electrodes* (left arm / right arm, arm / left leg): the leads then still obey Einthoven and
Goldberger, only with other signs and names. Nor can it see a swap among the chest leads.
See :mod:`deepecg_jax.signals.quality.einthoven` for the method and its figures.
"""

import statistics
from dataclasses import dataclass

import numpy as np

from deepecg_jax.signals.leads import standard_columns
from deepecg_jax.signals.quality.einthoven import EinthovenLimits, check_limb_leads, look_normalised
from deepecg_jax.signals.quality.medians import median
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.resample import check_rate

Measures = dict[str, float | bool]

_MIDDLE_SAMPLES = 250  # how many of a lead's samples its base line is taken from


@dataclass(frozen=True)
class QualityLimits:
    """Limits of :func:`check`. Voltages in mV, times in s.

    The defaults accept the 1,625 ECGs of the PTB-XL subset, 50 of CinC 2021 and one of PTB but one
    (PTB-XL 10565, whose lead I is unrelated to the other limb leads).
    """

    min_seconds: float = 1.0
    min_leads: int = 1
    max_flat_leads: int = 3
    """More flat leads than this reject the recording; up to this many are masked."""
    flat_peak_to_peak: float = 0.01
    flat_fraction: float = 0.5
    """A lead that repeats one value for this share of the recording is flat."""
    max_amplitude: float = 20.0
    min_std: float = 0.005
    saturated_fraction: float = 0.005
    saturated_seconds: float = 0.05
    einthoven: EinthovenLimits | None = EinthovenLimits()
    """None: do not compare the limb leads (for leads that were not recorded at the same time)."""


@dataclass(frozen=True)
class Inspection:
    """The measures of an acceptable recording and the standard leads that are flat in it."""

    measures: Measures
    flat_leads: tuple[str, ...]


def check(recording: Recording, thresholds: QualityLimits | None = None) -> Measures:
    """Measures of the recording's standard leads; SignalError (stage ``check``) if unusable.

    Keys: ``seconds``, ``n_recorded_leads``, ``n_flat_leads``, ``peak`` and ``median_std`` (mV),
    ``constant_fraction`` (largest share of samples equal to their predecessor),
    ``saturated_fraction`` and ``saturated_seconds`` (time and longest stretch at a lead's own
    extreme), ``einthoven_residual``, ``einthoven_gain_free_residual`` (NaN if fewer than three
    limb leads) and ``lead_gains_normalised``.
    """
    return inspect(recording, thresholds).measures


def inspect(recording: Recording, limits: QualityLimits | None = None) -> Inspection:
    """Like :func:`check`, and also which leads are flat (to be masked)."""
    limits = limits or QualityLimits()
    check_rate(recording.sampling_rate)
    if recording.seconds < limits.min_seconds:
        raise _error(
            "too_short",
            f"the recording lasts {recording.seconds:.3g} s, less than {limits.min_seconds:g} s.",
        )
    columns = standard_columns(recording.leads)
    if len(columns) < max(1, limits.min_leads):
        raise _error(
            "missing_leads",
            f"{len(columns)} of the leads {', '.join(recording.leads) or '(none)'} are standard "
            f"leads; at least {max(1, limits.min_leads)} are needed.",
        )
    names = list(columns)
    in_order = list(columns.values()) == list(range(len(recording.leads)))
    rows = recording.signal.T
    signal = np.ascontiguousarray(rows if in_order else rows[list(columns.values())])
    high, low = signal.max(axis=1), signal.min(axis=1)
    if not (np.isfinite(high).all() and np.isfinite(low).all()):  # max and min keep NaN
        raise _not_finite(signal, names)
    std = _std(signal)
    measures: Measures = {
        "seconds": recording.seconds,
        "n_recorded_leads": float(len(names)),
        "peak": float(max(high.max(), -low.min())),
    }
    _check_amplitude(names, high, low, std, limits)
    flat = _flat(signal, high - low, limits, measures)
    measures["n_flat_leads"] = float(flat.sum())
    flat_names = tuple(name for name, is_flat in zip(names, flat, strict=True) if is_flat)
    if flat.sum() > limits.max_flat_leads or flat.all():
        raise _error(
            "flat_lead",
            f"{int(flat.sum())} of {len(names)} leads are flat ({', '.join(flat_names)}); "
            f"at most {min(limits.max_flat_leads, len(names) - 1)} may be.",
        )
    measures["median_std"] = statistics.median(std[~flat].tolist())
    _check_saturation(signal, high, low, flat, names, recording.sampling_rate, limits, measures)
    usable = {
        name: row for name, row, is_flat in zip(names, signal, flat, strict=True) if not is_flat
    }
    spread = (limits.einthoven or EinthovenLimits()).spread
    normalised = look_normalised(std[~flat], np.maximum(high, -low)[~flat], spread)
    measures |= check_limb_leads(usable, normalised, limits.einthoven)
    return Inspection(measures, flat_names)


def _error(reason: str, message: str) -> SignalError:
    return SignalError("check", reason, message)


def _not_finite(signal: np.ndarray, names: list[str]) -> SignalError:
    finite = np.isfinite(signal)
    bad = [name for name, row in zip(names, finite, strict=True) if not row.all()]
    return _error(
        "not_finite",
        f"{int((~finite).sum())} samples are NaN or infinite (leads {', '.join(bad)}).",
    )


def _std(signal: np.ndarray) -> np.ndarray:
    """Standard deviation of each row; six times faster than ``np.std``."""
    with np.errstate(over="ignore", invalid="ignore"):  # absurd amplitudes, refused as such
        n_samples = signal.shape[1]
        centred = signal - signal @ np.full((n_samples, 1), 1 / n_samples, np.float32)
        return np.sqrt(np.vecdot(centred, centred) / n_samples)


def _check_amplitude(
    names: list[str], high: np.ndarray, low: np.ndarray, std: np.ndarray, limits: QualityLimits
) -> None:
    extreme = np.maximum(high, -low)
    worst = int(extreme.argmax())
    if extreme[worst] > limits.max_amplitude:
        where = f"lead {names[worst]} reaches {extreme[worst]:.4g} mV"
        if np.median(std) > limits.max_amplitude / 10 or np.median(extreme) > limits.max_amplitude:
            why = "this looks like microvolts or ADC counts, not millivolts"
        else:
            why = f"beyond {limits.max_amplitude:g} mV only artefacts or an offset are left"
        raise _error("amplitude", f"{where}; {why}.")
    varying = std[high > low]
    if varying.size and varying.max() < limits.min_std:
        raise _error(
            "amplitude",
            f"no lead varies by more than {varying.max():.2g} mV (standard deviation); this looks "
            "like volts, not millivolts.",
        )


def _flat(
    signal: np.ndarray, peak_to_peak: np.ndarray, limits: QualityLimits, measures: Measures
) -> np.ndarray:
    n_samples = signal.shape[1]
    repeats = signal[:, 1:] == signal[:, :-1]
    share = np.add.reduce(repeats.view(np.uint8), axis=1, dtype=np.uint32) / max(1, n_samples - 1)
    measures["constant_fraction"] = float(share.max())
    flat = peak_to_peak < limits.flat_peak_to_peak
    for lead in np.flatnonzero(~flat & (share >= limits.flat_fraction)):
        _, lengths = _runs(np.flatnonzero(repeats[lead]))
        flat[lead] = lengths.max() + 1 >= limits.flat_fraction * n_samples
    return flat


def _check_saturation(
    signal: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    flat: np.ndarray,
    names: list[str],
    rate: float,
    limits: QualityLimits,
    measures: Measures,
) -> None:
    """Clipping leaves runs of samples at a lead's own extreme; the peak of a wave does not.

    A run counts from 6 ms (three samples) on, within a thousandth of the range, at an extreme
    that lies away from the base line by a fifth of the range and by 0.15 mV (below that the steps
    of the converter make runs). Runs at the very start or end are left out: devices hold the last
    value there.
    """
    n_samples = signal.shape[1]
    shortest = max(3, round(0.006 * rate))
    fraction, longest, worst = 0.0, 0, ""
    span = high - low
    every = max(1, n_samples // _MIDDLE_SAMPLES)
    for sign, extreme in ((1.0, high), (-1.0, low)):
        bound = (extreme - sign * np.float32(1e-3) * span)[:, None]
        near = signal >= bound if sign > 0 else signal <= bound
        pairs = near[:, 1:] & near[:, :-1]
        three_or_more = (pairs[:, 1:] & pairs[:, :-1]).any(axis=1)
        for lead in np.flatnonzero(three_or_more & ~flat).tolist():  # few
            middle = median(signal[lead, ::every])
            if sign * (extreme[lead] - middle) < max(0.2 * span[lead], 0.15):
                continue
            starts, lengths = _runs(np.flatnonzero(near[lead]))
            kept = (lengths >= shortest) & (starts > 0) & (starts + lengths < n_samples)
            total = float(lengths[kept].sum()) / n_samples
            if total > fraction:
                fraction, worst = total, names[lead]
            longest = max(longest, int(lengths[kept].max(initial=0)))
            if longest / rate > limits.saturated_seconds and not worst:
                worst = names[lead]
    measures["saturated_fraction"] = fraction
    measures["saturated_seconds"] = longest / rate
    if fraction > limits.saturated_fraction or longest / rate > limits.saturated_seconds:
        raise _error(
            "saturated",
            f"lead {worst} stays at its extreme value for {fraction:.1%} of the time "
            f"(longest {1000 * longest / rate:.0f} ms): the amplifier or the converter clipped.",
        )


def _runs(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of the runs of consecutive numbers in increasing ones (N,), N > 0."""
    breaks = np.flatnonzero(where[1:] - where[:-1] != 1) + 1
    edges = np.concatenate([[0], breaks, [where.size]])
    return where[edges[:-1]], edges[1:] - edges[:-1]
