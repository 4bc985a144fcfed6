"""The standardisations a data set can be built with, by the options of its builder.

``millivolt`` and ``fairseq`` are functions of one recording. ``deepecg`` is one of a batch: the
records of a shard, in order, in parts as equal as possible of at most ``batch`` records. Rejected
records leave their part; parts depend on which records a shard holds, never on processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from deepecg_jax.data.options import whole_number
from deepecg_jax.signals import deepecg, fairseq
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.convert import in_millivolts, zscore
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standardize import Window, standardize


def check_standardisation(options: Mapping[str, str]) -> None:
    """UserError where the options of a build contradict each other."""
    whole_number(options, "batch", 1)


def contract_of(options: Mapping[str, str]) -> SignalContract:
    """The signal contract of a data set that is built with these options."""
    scaling = options["standardisation"]
    return fairseq.CONTRACT if scaling == "fairseq" else SignalContract(scaling=scaling)


def windows_of(recording: Recording, options: Mapping[str, str]) -> list[Window]:
    """The windows of one recording; those of ``deepecg`` still await :func:`standardize_batch`.

    Raises SignalError for a recording that cannot be used.
    """
    if options["standardisation"] == "fairseq":
        return fairseq.standardize(recording, options["windows"])
    windows = standardize(recording, windows=options["windows"], short=options["short"])
    if options["standardisation"] == "deepecg":
        for window in windows:
            _whole_with_lead_one(window)
    return windows


def windows_for(recording: Recording, contract: SignalContract) -> list[Window]:
    """All whole windows of a recording in the form of a model's contract, not of a data set.

    With scaling ``deepecg`` these are millivolts still, to be standardised batch by batch. Raises
    SignalError for a recording that cannot be used.
    """
    if contract == fairseq.CONTRACT:
        return fairseq.standardize(recording, "all")
    windows = standardize(recording, in_millivolts(contract), windows="all")
    if contract.scaling == "deepecg":
        for window in windows:
            _whole_with_lead_one(window)
    if contract.scaling != "fairseq":
        return windows
    valid = np.array([[window.valid_samples for window in windows]])
    scaled = zscore(np.stack([window.signal for window in windows])[None], valid)[0]
    return [replace(w, signal=signal) for w, signal in zip(windows, scaled, strict=True)]


def numbered(options: Mapping[str, str]) -> bool:
    """Whether a recording may give several windows, whose record ids then get a number."""
    return options["windows"] == "all" or options["standardisation"] == "fairseq"


def parts(n_records: int, options: Mapping[str, str]) -> Iterator[slice]:
    """Slices of a shard's records that are standardised together: single ones but for deepecg."""
    most = whole_number(options, "batch", 1) if options["standardisation"] == "deepecg" else 1
    count = -(-n_records // most)
    ends = [n_records * number // count for number in range(count + 1)] if count else []
    yield from (slice(start, end) for start, end in zip(ends, ends[1:], strict=False))


def standardize_batch(windows: Sequence[Window], options: Mapping[str, str]) -> list[Window]:
    """What remains to be done with the windows of one part of a shard.

    With ``deepecg`` their quality says what they had in common: ``batch_factor`` and
    ``batch_records``.
    """
    if options["standardisation"] != "deepecg" or not windows:
        return list(windows)
    cleaned, info = deepecg.standardize(np.stack([window.signal for window in windows]))
    common = {"batch_factor": info.factor, "batch_records": float(len(windows))}
    return [
        replace(window, signal=signal, quality={**window.quality, **common})
        for window, signal in zip(windows, cleaned, strict=True)
    ]


def _whole_with_lead_one(window: Window) -> None:
    """The original takes no shorter ECG, and its factor comes from lead I alone."""
    if window.valid_samples < len(window.signal):
        raise SignalError(
            "standardize",
            "too_short",
            f"only {window.valid_samples} samples are recorded, but DeepECG's standardisation "
            f"takes whole ECGs of {len(window.signal)}.",
        )
    if not window.lead_mask[0]:
        raise SignalError(
            "standardize", "missing_leads", "DeepECG's standardisation is scaled by lead I, which "
            "was not recorded.",
        )  # fmt: skip
