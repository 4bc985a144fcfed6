"""Which standardisation a signal contract asks for: the one choice, for building and for models.

A data set's options say its contract, a model brings one; :func:`choose` gives what is done to
their recordings. ``millivolt`` is a function of one recording and a site profile, ``fairseq`` of
one recording. ``deepecg`` is one of a batch: when a data set is built, the records of a shard, in
order, in batches as equal as possible. Rejected records leave their batch; batches depend on which
records a shard holds, never on processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard import deepecg, fairseq, site_profile
from deepecg_jax.signals.standard.convert import in_millivolts, zscore
from deepecg_jax.signals.standard.millivolt import Keep, Short, Window, standardize
from deepecg_jax.signals.standard.site_profile import SiteProfile

DEEPECG_BATCH = 512
"""Most ECGs that are standardised together by ``deepecg`` unless another number is asked for."""


class Profiles(Protocol):
    """Site profiles: in memory, or a file that is read when they are needed."""

    def of(self, site: str, /) -> SiteProfile:
        """The profile of a site, or the overall one."""
        ...


@dataclass(frozen=True)
class Standardisation(ABC):
    """What is done to recordings: :meth:`windows` of each, then :meth:`together` with others.

    ``contract``: what the windows are in the end; ``keep``: the ``first`` window or ``all``;
    ``short``: ``pad`` or ``reject`` a recording shorter than a window; ``batch``: most recordings
    that are standardised together; ``profiles``: needed where the contract has filters.
    """

    contract: SignalContract
    keep: Keep = "all"
    short: Short = "pad"
    batch: int = 1
    profiles: Profiles | None = None

    @property
    def numbered(self) -> bool:
        """Whether a recording may give several windows, whose record ids then get a number."""
        return self.keep == "all"

    @abstractmethod
    def windows(self, recording: Recording, site: str) -> list[Window]:
        """The windows of one recording, to be finished by :meth:`together`.

        site: where it was recorded, for the site's profile. Raises SignalError for a recording
        that cannot be used.
        """

    def together(self, windows: Sequence[Window]) -> list[Window]:
        """The finished windows of one batch, in their order."""
        return list(windows)

    def batches(self, n_records: int) -> Iterator[slice]:
        """Slices of records that are standardised together, as equal as possible."""
        count = -(-n_records // self.batch)
        ends = [n_records * number // count for number in range(count + 1)] if count else []
        yield from (slice(start, end) for start, end in zip(ends, ends[1:], strict=False))


@dataclass(frozen=True)
class Millivolt(Standardisation):
    """True amplitudes, without what the contract's filters name."""

    def windows(self, recording: Recording, site: str) -> list[Window]:
        """See the base class; windows (n_samples, leads) in mV."""
        windows = standardize(recording, in_millivolts(self.contract), self.keep, self.short)
        if not self.contract.filters or self.profiles is None:
            return windows
        profile = self.profiles.of(site)
        return [_filtered(window, profile, self.contract.filters) for window in windows]


@dataclass(frozen=True)
class DeepECG(Millivolt):
    """The original's scaling and cleaning of batches; until then the windows are millivolts."""

    def windows(self, recording: Recording, site: str) -> list[Window]:
        """See the base class; SignalError also for a short ECG and one without lead I."""
        windows = super().windows(recording, site)
        for window in windows:
            _whole_with_lead_one(window)
        return windows

    def together(self, windows: Sequence[Window]) -> list[Window]:
        """Scaled and cleaned as one batch, whatever its size.

        Their quality says what they had in common: ``batch_factor`` and ``batch_records``.
        """
        if not windows:
            return []
        cleaned, info = deepecg.standardize(np.stack([window.signal for window in windows]))
        common = {"batch_factor": info.factor, "batch_records": float(len(windows))}
        return [
            replace(window, signal=signal, quality={**window.quality, **common})
            for window, signal in zip(windows, cleaned, strict=True)
        ]


@dataclass(frozen=True)
class Fairseq(Standardisation):
    """z-scores at 500 Hz in pieces of 5 s, as fairseq-signals makes them."""

    @property
    def numbered(self) -> bool:
        """A recording of 10 s has two pieces."""
        return True

    def windows(self, recording: Recording, site: str) -> list[Window]:
        """See the base class; what is shorter than a piece is refused."""
        return fairseq.standardize(recording, self.keep)


@dataclass(frozen=True)
class ZScored(Millivolt):
    """z-scores of another form than fairseq-signals' own: over all kept windows of a recording."""

    def windows(self, recording: Recording, site: str) -> list[Window]:
        """See the base class."""
        windows = super().windows(recording, site)
        valid = np.array([[window.valid_samples for window in windows]])
        scaled = zscore(np.stack([window.signal for window in windows])[None], valid)[0]
        return [replace(w, signal=signal) for w, signal in zip(windows, scaled, strict=True)]


def choose(
    contract: SignalContract,
    keep: Keep = "all",
    short: Short = "pad",
    batch: int = DEEPECG_BATCH,
    profiles: Profiles | None = None,
) -> Standardisation:
    """The standardisation that gives windows of a contract.

    Args:
        contract: of the data set to be built, or of a model.
        keep: the ``first`` window of a recording or ``all`` whole ones.
        short: ``pad`` or ``reject`` a recording shorter than a window.
        batch: most recordings that ``deepecg`` standardises together; the others take one.
        profiles: needed where the contract has filters.

    Raises:
        UserError: the contract has filters and nothing says how to filter.
    """
    require_profiles(contract, profiles)
    if contract == fairseq.CONTRACT:
        return Fairseq(contract, keep, short)
    if contract.scaling == "deepecg":
        return DeepECG(contract, keep, short, batch, profiles)
    kind = ZScored if contract.scaling == "fairseq" else Millivolt
    return kind(contract, keep, short, profiles=profiles)


def require_profiles(contract: SignalContract, profiles: Profiles | None) -> None:
    """UserError where a model expects filtered ECGs and nothing says how to filter."""
    if contract.filters and profiles is None:
        raise UserError(
            f"The model was trained on ECGs without {' and '.join(contract.filters)}; give "
            f"--site-profile, the {site_profile.FILE_NAME} beside its shards or one of this site."
        )


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
