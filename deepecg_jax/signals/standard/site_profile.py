"""What is typical of a site's ECGs, fitted once, and the filters that follow from it.

A profile is fitted over a sample of a site's ECGs and stored as JSON; the filters for one ECG are
then a function of that ECG and the profile, never of the others in a batch. All leads get the same
linear filters, so Einthoven's and Goldberger's equations go on to hold.

Rules. *Powerline*: 50 or 60 Hz is a line of the site if :func:`~.interference.line` finds it in a
tenth of the ECGs, and so are their harmonics below 125 Hz if the line itself is one. *Baseline*:
the cut-off is where the median spectrum is lowest between 0.3 Hz and 0.67 Hz, that is between the
wander and the slowest heartbeats; 0.67 Hz is the most that the AHA's recommendations allow to
filters without phase shift (Kligfield et al., Circulation 115, 2007).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.quality.interference import MAINS_HZ, line, power_spectrum

FILE_NAME = "site_profile.json"
LEAST_ECGS = 20
"""Sites with fewer ECGs in the sample use the profile of all sites together."""
LEAST_SHARE = 0.1
BASELINE_HZ = (0.3, 0.67)
NOTCH_HZ = 2.0
_HARMONICS = 2
_BAND_HZ = 0.5  # of the stored spectrum
_MARGIN_SECONDS = 3.0


@dataclass(frozen=True)
class SiteProfile:
    """A site's typical spectrum and what its filters are made of.

    ``powerline``: frequencies (Hz) to be removed; ``line_share``: the share of the ECGs in which
    each candidate was found; ``baseline``: cut-off (Hz); ``spectrum``: for each standard lead the
    median over ECGs of the root mean square (mV) in bands of 0.5 Hz from 0 Hz on.
    """

    site: str
    n_ecgs: int
    powerline: tuple[float, ...]
    line_share: dict[str, float]
    baseline: float
    spectrum: dict[str, list[float]] = field(repr=False)


@dataclass(frozen=True)
class SiteProfiles:
    """The profile of all ECGs of a sample, those of its sites, and where they come from."""

    overall: SiteProfile
    sites: dict[str, SiteProfile]
    provenance: dict[str, Any]

    def of(self, site: str) -> SiteProfile:
        """The profile of a site, or the overall one where the site was too small or unknown."""
        return self.sites.get(site, self.overall)

    def to_json(self) -> str:
        """The text of the file."""
        values = {
            "schema": 1,
            "provenance": self.provenance,
            "overall": asdict(self.overall),
            "sites": [asdict(profile) for profile in self.sites.values()],
        }
        return json.dumps(values, ensure_ascii=False) + "\n"

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ between any two profiles."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=6).hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write JSON (the folder is made if absent)."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), encoding="utf-8")
        return path


@dataclass(frozen=True)
class ProfileFile:
    """Profiles in a file, read when the first ECG needs them and again when the file changes.

    It stands for the profiles where many processes are told of them.
    """

    path: Path

    def of(self, site: str) -> SiteProfile:
        """See :meth:`SiteProfiles.of`; UserError if the file is none."""
        return _loaded(self.path, self.path.stat().st_mtime_ns).of(site)


@lru_cache(maxsize=4)
def _loaded(path: Path, modified: int) -> SiteProfiles:
    """``modified``: so that a profile that was fitted again is read again."""
    return load(path)


def load(path: str | Path) -> SiteProfiles:
    """Read a profile; UserError if it is absent or is none."""
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sites = [_profile(site) for site in values["sites"]]
        return SiteProfiles(
            _profile(values["overall"]), {one.site: one for one in sites}, values["provenance"]
        )
    except FileNotFoundError as error:
        raise UserError(
            f"The site profile {path} does not exist; `deepecg profile` makes one."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no site profile ({error!r}); fit it again.") from error


def _profile(values: Mapping[str, Any]) -> SiteProfile:
    profile = SiteProfile(**{**values, "powerline": tuple(map(float, values["powerline"]))})
    nyquist = SignalContract().sampling_rate / 2
    if not all(0 < hz < nyquist for hz in (*profile.powerline, float(profile.baseline))):
        raise ValueError(f"frequencies outside 0 to {nyquist:g} Hz")
    return profile


def fit(
    signals: np.ndarray,
    lead_masks: np.ndarray,
    sites: Sequence[str],
    provenance: Mapping[str, Any] | None = None,
) -> SiteProfiles:
    """Fit the profiles of a sample.

    signals: (N, 2500, 12) mV at 250 Hz, unfiltered and whole; lead_masks: (N, 12) bool; sites: the
    site of each. Medians over ECGs, so that single bad records change nothing. UserError for an
    empty sample.
    """
    if not len(signals):
        raise UserError("A site profile needs ECGs, but the sample is empty.")
    power = np.stack([power_spectrum(np.ascontiguousarray(ecg.T)) for ecg in signals])
    masks = np.asarray(lead_masks, bool)
    power[~masks] = np.nan
    names = np.asarray(sites)
    large = [str(s) for s in np.unique(names) if s and (names == s).sum() >= LEAST_ECGS]
    return SiteProfiles(
        _fit("", power),
        {site: _fit(site, power[names == site]) for site in large},
        {"n_ecgs": len(signals), "date_range": None, **(provenance or {})},
    )


def _fit(site: str, power: np.ndarray) -> SiteProfile:
    """power: (N, 12, F) mean squares at steps of 0.1 Hz, NaN for missing leads."""
    contract = SignalContract()
    step = contract.sampling_rate / contract.n_samples
    present = ~np.isnan(power[..., 0])
    of_ecg = [ecg[there].mean(axis=0) for ecg, there in zip(power, present, strict=True)]
    share: dict[str, float] = {}
    powerline = []
    for mains in MAINS_HZ:
        for order in range(1, _HARMONICS + 1):
            at = mains * order
            found = float(np.mean([line(one, step, at) > 0 for one in of_ecg]))
            share[f"{at:g}"] = found
            if found >= LEAST_SHARE and (order == 1 or mains in powerline):
                powerline.append(at)
    low, high = round(BASELINE_HZ[0] / step), int(BASELINE_HZ[1] / step)
    typical = np.median(np.stack(of_ecg), axis=0)
    width = round(_BAND_HZ / step)
    bands = np.add.reduceat(power, np.arange(0, power.shape[-1] - 1, width), axis=-1)
    spectrum = {
        lead: np.sqrt(np.median(bands[present[:, i], i], axis=0)).tolist()
        for i, lead in enumerate(STANDARD_LEADS)
        if present[:, i].any()
    }
    rounded = {lead: [float(f"{v:.4g}") for v in values] for lead, values in spectrum.items()}
    cut_off = step * (low + int(typical[low : high + 1].argmin()))
    return SiteProfile(site, len(power), tuple(powerline), share, float(f"{cut_off:.4g}"), rounded)


def remove(signal: np.ndarray, profile: SiteProfile, what: Sequence[str]) -> np.ndarray:
    """One ECG (T, 12) mV at 250 Hz without its ``baseline`` and/or ``powerline``, float32.

    A second-order Butterworth high-pass and notches 2 Hz wide, forwards and backwards (no phase
    shift), the ends continued by odd reflection. Give the recorded samples only, no padding.
    """
    sections = _sections(
        profile.baseline if "baseline" in what else None,
        profile.powerline if "powerline" in what else (),
    )
    if sections is None or len(signal) < 2:
        return np.asarray(signal, np.float32)
    from scipy.signal import sosfiltfilt  # imported here because it takes a second

    margin = min(len(signal) - 1, round(_MARGIN_SECONDS * SignalContract().sampling_rate))
    x = np.ascontiguousarray(np.asarray(signal, np.float64).T)
    return sosfiltfilt(sections, x, axis=1, padlen=margin).T.astype(np.float32)


@lru_cache(maxsize=64)
def _sections(baseline: float | None, powerline: tuple[float, ...]) -> np.ndarray | None:
    from scipy import signal as filters

    rate = SignalContract().sampling_rate
    sections = []
    if baseline is not None:
        sections.append(filters.butter(2, baseline, "highpass", fs=rate, output="sos"))
    for hz in powerline:
        sections.append(filters.tf2sos(*filters.iirnotch(hz, hz / NOTCH_HZ, fs=rate)))
    return np.concatenate(sections) if sections else None
