"""The standardisations a data set can be built with, by the options of its builder.

``millivolt`` is a function of one recording and a site profile, ``fairseq`` of one recording.
``deepecg`` is one of a batch: the records of a shard, in order, in parts as equal as possible of at
most ``batch`` records. Rejected records leave their part; parts depend on which records a shard
holds, never on processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from deepecg_jax.data.options import COMMON_OPTIONS, whole_number
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import FILTERS, SignalContract
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard import deepecg, fairseq, site_profile
from deepecg_jax.signals.standard.convert import in_millivolts, zscore
from deepecg_jax.signals.standard.millivolt import Window, standardize
from deepecg_jax.signals.standard.site_profile import SiteProfile, SiteProfiles

FIT = "fit"
"""The value of the option ``site_profile`` that asks for a profile of the source itself."""


def check_standardisation(options: Mapping[str, str]) -> None:
    """UserError where the options of a build contradict each other."""
    _most(options)
    removed, scaling = removed_by(options), _value(options, "standardisation")
    profile = _value(options, "site_profile")
    if removed and scaling != "millivolt":
        raise UserError(
            f"--option {removed[0]}=remove goes with standardisation=millivolt, not "
            f"{scaling}, which has rules of its own."
        )
    if removed and not profile:
        raise UserError(
            f"--option {removed[0]}=remove needs --option site_profile: fit, or a file that "
            "`deepecg profile` wrote."
        )
    if profile not in ("", FIT):
        site_profile.load(profile)


def removed_by(options: Mapping[str, str]) -> tuple[str, ...]:
    """What is filtered out of the ECGs, in the words of the contract's ``filters``."""
    return tuple(name for name in FILTERS if _value(options, name) == "remove")


def contract_of(options: Mapping[str, str]) -> SignalContract:
    """The signal contract of a data set that is built with these options."""
    scaling = _value(options, "standardisation")
    if scaling == "fairseq":
        return fairseq.CONTRACT
    return SignalContract(scaling=scaling, filters=removed_by(options))


def write_contract(folder: Path, options: Mapping[str, str]) -> None:
    """``signal.json``, and ``site_profile.json`` if there is one, beside the shards."""
    contract_of(options).save(folder)
    if profile := _value(options, "site_profile"):
        site_profile.load(profile).save(folder / site_profile.FILE_NAME)


def windows_of(recording: Recording, options: Mapping[str, str], site: str = "") -> list[Window]:
    """The windows of one recording; those of ``deepecg`` still await :func:`standardize_batch`.

    site: where it was recorded, for the site's profile. Raises SignalError for a recording that
    cannot be used.
    """
    if _value(options, "standardisation") == "fairseq":
        return fairseq.standardize(recording, options["windows"])
    windows = standardize(recording, windows=options["windows"], short=options["short"])
    if _value(options, "standardisation") == "deepecg":
        for window in windows:
            _whole_with_lead_one(window)
    removed = removed_by(options)
    if removed:
        file = _value(options, "site_profile")
        profile = _loaded(file, Path(file).stat().st_mtime_ns).of(site)
        windows = [_filtered(window, profile, removed) for window in windows]
    return windows


def windows_for(
    recording: Recording, contract: SignalContract, profiles: SiteProfiles | None = None
) -> list[Window]:
    """All whole windows of a recording in the form of a model's contract, not of a data set.

    With scaling ``deepecg`` these are millivolts still, to be standardised batch by batch. Raises
    SignalError for a recording that cannot be used, UserError for a contract with filters when
    there are no ``profiles``.
    """
    require_profiles(contract, profiles)
    if contract == fairseq.CONTRACT:
        return fairseq.standardize(recording, "all")
    windows = standardize(recording, in_millivolts(contract), windows="all")
    if contract.scaling == "deepecg":
        for window in windows:
            _whole_with_lead_one(window)
    if contract.filters and profiles:
        profile = profiles.of(recording.site)
        windows = [_filtered(window, profile, contract.filters) for window in windows]
    if contract.scaling != "fairseq":
        return windows
    valid = np.array([[window.valid_samples for window in windows]])
    scaled = zscore(np.stack([window.signal for window in windows])[None], valid)[0]
    return [replace(w, signal=signal) for w, signal in zip(windows, scaled, strict=True)]


def require_profiles(contract: SignalContract, profiles: SiteProfiles | None) -> None:
    """UserError where a model expects filtered ECGs and nothing says how to filter."""
    if contract.filters and profiles is None:
        raise UserError(
            f"The model was trained on ECGs without {' and '.join(contract.filters)}; give "
            f"--site-profile, the {site_profile.FILE_NAME} beside its shards or one of this site."
        )


def numbered(options: Mapping[str, str]) -> bool:
    """Whether a recording may give several windows, whose record ids then get a number."""
    return options["windows"] == "all" or _value(options, "standardisation") == "fairseq"


def parts(n_records: int, options: Mapping[str, str]) -> Iterator[slice]:
    """Slices of a shard's records that are standardised together: single ones but for deepecg."""
    most = _most(options) if _value(options, "standardisation") == "deepecg" else 1
    count = -(-n_records // most)
    ends = [n_records * number // count for number in range(count + 1)] if count else []
    yield from (slice(start, end) for start, end in zip(ends, ends[1:], strict=False))


def standardize_batch(windows: Sequence[Window], options: Mapping[str, str]) -> list[Window]:
    """What remains to be done with the windows of one part of a shard.

    With ``deepecg`` their quality says what they had in common: ``batch_factor`` and
    ``batch_records``.
    """
    if _value(options, "standardisation") != "deepecg" or not windows:
        return list(windows)
    cleaned, info = deepecg.standardize(np.stack([window.signal for window in windows]))
    common = {"batch_factor": info.factor, "batch_records": float(len(windows))}
    return [
        replace(window, signal=signal, quality={**window.quality, **common})
        for window, signal in zip(windows, cleaned, strict=True)
    ]


def _value(options: Mapping[str, str], name: str) -> str:
    return options.get(name, COMMON_OPTIONS[name].default)


def _most(options: Mapping[str, str]) -> int:
    return whole_number({"batch": _value(options, "batch")}, "batch", 1)


@lru_cache(maxsize=4)
def _loaded(path: str, modified: int) -> SiteProfiles:
    """``modified``: so that a profile that was fitted again is read again."""
    return site_profile.load(path)


def _filtered(window: Window, profile: SiteProfile, removed: Sequence[str]) -> Window:
    signal = window.signal.copy()
    recorded = signal[: window.valid_samples]
    recorded[:] = site_profile.remove(recorded, profile, removed)
    return replace(window, signal=signal)


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
            "standardize",
            "missing_leads",
            "DeepECG's standardisation is scaled by lead I, which was not recorded.",
        )
