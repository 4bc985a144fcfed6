"""From a recording to the windows that models see: 12 leads, 250 Hz, 10 s, millivolts."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.leads import canonical_lead, to_standard
from deepecg_jax.signals.quality.check import Inspection, Measures, QualityLimits, inspect
from deepecg_jax.signals.quality.interference import interference
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.resample import check_rate, resample, resampled_length

Keep = Literal["first", "all"]
"""Which windows of a recording: the first only, or all whole ones."""
Short = Literal["pad", "reject"]
"""What becomes of a recording that is shorter than a window."""


@dataclass(frozen=True, eq=False)
class Window:
    """One standardised piece of a recording.

    ``signal`` (n_samples, leads) float32 mV; ``lead_mask`` (leads,) bool, true where the lead was
    recorded or derived exactly; ``valid_samples``: samples before the zero padding; ``index``:
    position in the recording in units of windows; ``quality``: the measures of
    :func:`deepecg_jax.signals.quality.check.check` and of
    :func:`deepecg_jax.signals.quality.interference.interference`, plus ``n_derived_leads`` and
    ``windows_rejected``.
    """

    signal: np.ndarray
    lead_mask: np.ndarray
    valid_samples: int
    index: int = 0
    quality: Measures = field(default_factory=dict)


def standardize(
    recording: Recording,
    contract: SignalContract | None = None,
    windows: Keep = "first",
    short: Short = "pad",
    limits: QualityLimits | None = None,
) -> list[Window]:
    """Check, resample and cut a recording into windows of the contract's form.

    >>> window = de.standardize(de.read("ecg.hea"))[0]
    >>> window.signal.shape, window.valid_samples
    ((2500, 12), 2500)

    ``windows``: ``first`` window only, or ``all`` whole windows (a remainder at the end is left
    out). ``short``: a recording shorter than one window is zero-padded at its end (``pad``) or
    refused (``reject``). Each window is judged by the samples it is made of; with ``all``, a
    window that fails is left out and counted in ``quality["windows_rejected"]`` of the others, and
    only if every window fails is the first one's error raised. Flat leads are derived from other
    limb leads where possible, else zero and masked.

    Raises SignalError (see :class:`~deepecg_jax.signals.recording.SignalError`), or UserError for
    a contract or an option that cannot be met.
    """
    contract = contract or SignalContract()
    limits = limits or QualityLimits()
    _check_options(contract, windows, short)
    rate = recording.sampling_rate
    check_rate(rate)
    n_samples = contract.n_samples
    total = resampled_length(recording.signal.shape[0], rate, contract.sampling_rate)
    n_windows = total // n_samples
    if n_windows == 0 and short == "reject":
        raise SignalError(
            "standardize",
            "too_short",
            f"the recording lasts {recording.seconds:.3g} s, less than the {contract.seconds:g} s "
            "of a window.",
        )
    kept: list[tuple[int, Recording, Inspection]] = []
    errors: list[SignalError] = []
    for index in range(max(1, n_windows) if windows == "all" else 1):
        piece = _piece(recording, index, contract)
        try:
            kept.append((index, piece, inspect(piece, limits)))
        except SignalError as error:
            errors.append(error)
    if not kept:
        raise errors[0]
    return [
        _window(piece, inspection, contract, min(total, n_samples), index, len(errors))
        for index, piece, inspection in kept
    ]


def to_microvolts(signal: np.ndarray) -> np.ndarray:
    """Millivolts (any shape) -> int16 microvolts, rounded to nearest.

    SignalError (``standardize``) if a value is not finite or beyond +-32.767 mV.
    """
    microvolts = np.rint(np.asarray(signal, np.float32) * np.float32(1000))
    high, low = (float(microvolts.max()), float(microvolts.min())) if microvolts.size else (0, 0)
    if not (math.isfinite(high) and math.isfinite(low)):  # max and min keep NaN
        raise SignalError("standardize", "not_finite", "the signal holds NaN or infinite values.")
    peak = max(high, -low)
    if peak > 32767:
        raise SignalError(
            "standardize",
            "amplitude",
            f"the signal reaches {peak / 1000:.4g} mV, but int16 microvolts end at 32.767 mV.",
        )
    return microvolts.astype(np.int16)


def _check_options(contract: SignalContract, windows: str, short: str) -> None:
    if contract.unit != "mV" or contract.scaling != "millivolt":
        raise UserError(
            f"standardize gives millivolts, but the signal contract asks for unit {contract.unit} "
            f"and scaling {contract.scaling}; apply that scaling to the standardised windows."
        )
    for name, value, allowed in (
        ("windows", windows, get_args(Keep)),
        ("short", short, get_args(Short)),
    ):
        if value not in allowed:
            raise UserError(f"{name} is {value!r}, but must be {' or '.join(allowed)}.")


def _piece(recording: Recording, index: int, contract: SignalContract) -> Recording:
    """The samples, still at the source's rate, that window ``index`` is made of."""
    rate = recording.sampling_rate
    start = math.floor(index * contract.seconds * rate)
    stop = start + math.ceil(contract.seconds * rate)
    if start == 0 and stop >= len(recording.signal):
        return recording
    return dataclasses.replace(recording, signal=recording.signal[start:stop])


def _window(
    piece: Recording,
    inspection: Inspection,
    contract: SignalContract,
    valid_samples: int,
    index: int,
    n_rejected: int,
) -> Window:
    flat = set(inspection.flat_leads)
    usable = [
        column
        for column, name in enumerate(piece.leads)
        if (lead := canonical_lead(name)) is not None and lead not in flat
    ]
    names = [piece.leads[column] for column in usable]
    # Leads normalised one by one no longer add up, so nothing can be derived from them.
    derive = not inspection.measures["lead_gains_normalised"]
    whole = len(usable) == len(piece.leads)
    recorded = piece.signal if whole else piece.signal.T[usable].T
    standard, mask = to_standard(recorded, names, derive)
    order = [STANDARD_LEADS.index(lead) for lead in contract.leads]
    if order != list(range(len(STANDARD_LEADS))):
        standard, mask = standard[:, order], mask[order]
    resampled = resample(standard, piece.sampling_rate, contract.sampling_rate, valid_samples)
    rows = resampled.T  # lead by lead in memory
    if not (math.isfinite(rows.max()) and math.isfinite(rows.min())):  # max and min keep NaN
        raise SignalError(
            "standardize", "not_finite", "resampling gave NaN or infinite values (overflow)."
        )
    signal = np.zeros((contract.n_samples, len(order)), np.float32)
    signal[:valid_samples] = resampled
    quality = dict(inspection.measures)
    derived = set(contract.leads) - {canonical_lead(name) for name in names}
    quality["n_derived_leads"] = float(
        sum(bool(mask[contract.leads.index(lead)]) for lead in derived)
    )
    quality["windows_rejected"] = float(n_rejected)
    quality |= interference((rows if mask.all() else rows[mask]).T, contract.sampling_rate)
    return Window(signal, mask, valid_samples, index, quality)
