"""What a model may be given: arrays at their own rate, or recordings, in the form of its contract.

Arrays are (N, T, leads) in the contract's leads and scaling; only their sampling rate may differ.
Recordings are checked, resampled, cut into whole windows and scaled, as a builder would.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeGuard

import numpy as np

from deepecg_jax.data.loading.crops import crops_of, cut, first_of_each
from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.resample import resample, resampled_length
from deepecg_jax.signals.standard.choose import DEEPECG_BATCH, Standardisation, choose
from deepecg_jax.signals.standard.millivolt import Window
from deepecg_jax.signals.standard.site_profile import SiteProfiles

Signals = np.ndarray | Recording | Sequence[Recording]


class Windows(NamedTuple):
    """Windows of some ECGs: ``signals`` (M, T, leads) float32, ``valid_samples`` (M,) before their
    zero padding, and ``counts`` (N,), how many of the M belong to each ECG, in order."""

    signals: np.ndarray
    valid_samples: np.ndarray
    counts: np.ndarray

    def groups(self, size: int) -> Iterator["Windows"]:
        """The same ECGs, ``size`` at a time."""
        ends = np.cumsum(self.counts)
        for start in range(0, len(self.counts), size):
            counts = self.counts[start : start + size]
            own = slice(ends[start] - counts[0], ends[start + len(counts) - 1])
            yield Windows(self.signals[own], self.valid_samples[own], counts)


def are_recordings(signals: Signals) -> TypeGuard[Recording | Sequence[Recording]]:
    """Whether these are recordings and not an array; UserError for a mixture or an empty list."""
    if isinstance(signals, Recording):
        return True
    if isinstance(signals, np.ndarray) or not isinstance(signals, (list, tuple)):
        return False
    wrong = [one for one in signals if not isinstance(one, Recording)]
    if len(wrong) == len(signals) and signals:
        return False  # lists of numbers: an array
    if wrong or not signals:
        what = f"a {type(wrong[0]).__name__} stands among them" if wrong else "there is none"
        raise UserError(f"A model takes an array or a list of recordings, but {what}.")
    return True


def windows_of(
    recordings: Recording | Sequence[Recording],
    contract: SignalContract,
    profiles: SiteProfiles | None = None,
) -> Windows:
    """All whole windows of recordings in the form of a contract.

    With the scaling ``deepecg`` they are standardised together, 512 windows at a time, in their
    order: what becomes of one depends on the others, as in the original.

    Raises:
        UserError: a recording cannot be used (its number and why), or the contract wants filtered
            ECGs and there are no ``profiles``.
    """
    standardisation = choose(contract, profiles=profiles)
    if isinstance(recordings, Recording):
        recordings = [recordings]

    def pieces() -> Iterator[list[Window]]:
        for number, recording in enumerate(recordings):
            try:
                yield standardisation.windows(recording, recording.site)
            except SignalError as error:
                name = f" ({recording.record_id})" if recording.record_id else ""
                raise UserError(f"Recording {number}{name} cannot be used: {error}") from error

    parts = list(batches(pieces(), standardisation, DEEPECG_BATCH))
    return Windows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def cropped(windows: Windows, protocol: EvaluationProtocol, contract: SignalContract) -> Windows:
    """The crops of all windows of each ECG, which then count as its windows."""
    samples = protocol.samples(contract.sampling_rate)
    if samples is None:
        return windows
    crops = crops_of(windows.valid_samples, *samples)
    signals = cut(windows.signals, crops.ecg, crops.start, samples[0])
    counts = np.add.reduceat(crops.counts, first_of_each(windows.counts))
    return Windows(signals, crops.valid, counts)


def batches(
    pieces: Iterable[Sequence[Window]], standardisation: Standardisation, at_once: int
) -> Iterator[Windows]:
    """The windows of one ECG after another, in groups of at least ``at_once`` windows.

    Each group is finished as one batch (`Standardisation.together`).
    """
    waiting: list[Sequence[Window]] = []
    for windows in pieces:
        waiting.append(windows)
        if sum(map(len, waiting)) >= at_once:
            yield _stacked(waiting, standardisation)
            waiting = []
    if waiting:
        yield _stacked(waiting, standardisation)


def _stacked(ecgs: Sequence[Sequence[Window]], standardisation: Standardisation) -> Windows:
    finished = standardisation.together([window for windows in ecgs for window in windows])
    signals = np.stack([window.signal for window in finished])
    valid = np.array([window.valid_samples for window in finished])
    return Windows(signals, valid, np.array([len(windows) for windows in ecgs]))


def at_rate(
    signals: np.ndarray,
    sampling_rate: float,
    contract: SignalContract,
    valid_samples: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """(N, T, leads) at ``sampling_rate`` Hz -> (N, T', leads) float32 at the contract's rate.

    ``valid_samples``, (N,) of T, become those of T'. Raises UserError for an implausible rate.
    """
    n, t, leads = signals.shape
    columns = signals.transpose(1, 0, 2).reshape(t, n * leads)
    try:
        resampled = resample(columns, sampling_rate, contract.sampling_rate)
    except SignalError as error:
        raise UserError(str(error)) from error
    if valid_samples is not None:
        valid_samples = np.array(
            [resampled_length(int(v), sampling_rate, contract.sampling_rate) for v in valid_samples]
        )
    return resampled.reshape(-1, n, leads).transpose(1, 0, 2), valid_samples
