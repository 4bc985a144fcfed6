"""How a loaded model is applied: `encode`, `embed`, `logits` and `probabilities` of a bundle."""

from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from deepecg_jax.bundle.runner import LOGITS, TOKENS, Output, Runner
from deepecg_jax.bundle.windows import (
    Signals,
    Windows,
    are_recordings,
    at_rate,
    cropped,
    windows_of,
)
from deepecg_jax.data.loading.crops import mean_of_each
from deepecg_jax.data.loading.protocol import WHOLE, EvaluationProtocol
from deepecg_jax.errors import UserError
from deepecg_jax.models.readouts import MEAN
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.signals.standard.site_profile import SiteProfiles

BATCH = 64


class Given(TypedDict, total=False):
    """What may be said about the signals.

    Attributes:
        sampling_rate: Hz, of an array whose rate is not the contract's; it is resampled.
        lead_mask: (N, leads) bool of an array, false where a lead is missing: it is set to zero.
        valid_samples: (N,) samples of each ECG of an array before zero padding, which is then not
            attended to and not averaged; None if none is padded.
        contract: what the caller's array is; UserError if it differs from the bundle's.
        profiles: for recordings, where the model was trained on filtered ECGs.
        batch_size: ECGs computed at once, 64 if not given.
    """

    sampling_rate: float | None
    lead_mask: np.ndarray | None
    valid_samples: np.ndarray | None
    contract: SignalContract | None
    profiles: SiteProfiles | None
    batch_size: int


_OF_ARRAYS = ("sampling_rate", "lead_mask", "valid_samples", "contract")


class Applied:
    """A model with its contract. Signals are an array (N, T, leads) of float millivolts (of what
    the contract says, where the model was trained on something else), or one or several
    recordings, which are brought to the contract first. See :class:`Given` for what may be said
    about them.

    Logits and probabilities are those of the bundle's own evaluation protocol, by which its
    thresholds were fitted, unless another is given (`WHOLE`: the signals as they are).

    UserError on NaN or infinity, integers (microvolts?), another number of leads, signals shorter
    than one token, a recording that cannot be used. Products are of full float32 on every device.
    """

    folder: Path
    signal: SignalContract
    labels: tuple[str, ...]
    protocol: EvaluationProtocol
    _runner: Runner

    def encode(self, signals: Signals, **given: Unpack[Given]) -> np.ndarray:
        """Encoder tokens, (N, tokens, width) float32.

        Recordings give the tokens of all their windows one after another; UserError where one has
        more windows than another (then take :meth:`embed`).
        """
        tokens, counts = self._run(TOKENS, signals, given)
        if counts.max() > counts.min():
            raise UserError(
                f"The recordings have {counts.min()} to {counts.max()} windows of "
                f"{self.signal.seconds:g} s, so their tokens make no array; cut them to one "
                "length, or take embed."
            )
        return tokens.reshape(len(counts), -1, tokens.shape[-1])

    def embed(self, signals: Signals, readout: str = MEAN, **given: Unpack[Given]) -> np.ndarray:
        """One vector an ECG, (N, width) float32: the mean of the encoder's tokens that are not
        padding, or another ``readout`` (`models.readouts.READOUTS`).

        Recordings give the mean over their windows.
        """
        vectors, counts = self._run(readout, signals, given)
        return mean_of_each(vectors, counts)

    def logits(
        self,
        signals: Signals,
        *,
        protocol: EvaluationProtocol | None = None,
        **given: Unpack[Given],
    ) -> np.ndarray:
        """Logits, (N, labels) float32.

        Of several windows or crops they are joined as the protocol says; of the mean probability,
        where that is what it says.
        """
        by = self.protocol if protocol is None else protocol
        return by.joined_logits(*self._classified(signals, given, by))

    def probabilities(
        self,
        signals: Signals,
        *,
        protocol: EvaluationProtocol | None = None,
        **given: Unpack[Given],
    ) -> np.ndarray:
        """Sigmoid of the logits, (N, labels) float32 in 0..1, joined over windows and crops as the
        protocol says.

        These are the scores of ``deepecg predict``.
        """
        by = self.protocol if protocol is None else protocol
        return by.joined_probabilities(*self._classified(signals, given, by))

    def scores(
        self,
        windows: Windows,
        protocol: EvaluationProtocol | None = None,
        batch_size: int = BATCH,
    ) -> np.ndarray:
        """Probabilities of ECGs that are in the form of the contract already, (N, labels)."""
        self._require_head()
        by = self.protocol if protocol is None else protocol
        return by.joined_probabilities(*self._of_windows(LOGITS, windows, by, batch_size))

    def vectors(self, windows: Windows, readout: str = MEAN, batch_size: int = BATCH) -> np.ndarray:
        """One vector an ECG, see :meth:`embed`, of ECGs that are in the form of the contract."""
        return mean_of_each(*self._of_windows(readout, windows, WHOLE, batch_size))

    def _require_head(self) -> None:
        if not self.labels:
            raise UserError(
                f"{self.folder} is an encoder without a head; fine-tune it to get logits."
            )

    def _classified(
        self, signals: Signals, given: Given, protocol: EvaluationProtocol
    ) -> tuple[np.ndarray, np.ndarray]:
        self._require_head()
        return self._run(LOGITS, signals, given, protocol)

    def _run(
        self,
        output: Output,
        signals: Signals,
        given: Given,
        protocol: EvaluationProtocol = WHOLE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Output of each piece (M, ...), and how many of them an ECG has, (N,)."""
        size = given.get("batch_size", BATCH)
        if are_recordings(signals):
            wrong = [name for name in _OF_ARRAYS if given.get(name) is not None]
            if wrong:
                raise UserError(f"Recordings say all about themselves; do not give {wrong[0]}.")
            windows = windows_of(signals, self.signal, given.get("profiles"))
            return self._of_windows(output, windows, protocol, size)
        if given.get("profiles") is not None:
            raise UserError("profiles go with recordings; an array is filtered already.")
        array, valid = np.asarray(signals), given.get("valid_samples")
        mask, rate = given.get("lead_mask"), given.get("sampling_rate")
        if rate is not None and rate != self.signal.sampling_rate:
            array = self._runner.checked(array, mask, size)
            array, valid = at_rate(array, rate, self.signal, valid)
        contract = given.get("contract")
        if protocol.crop_seconds is None:
            found = self._runner(output, array, mask, valid, contract, size)
            return found, np.ones(len(found), np.int64)
        if contract is not None:
            require_same(contract, self.signal, "the signals", f"bundle {self.folder}")
        array = self._runner.checked(array, mask, size)
        valid = self._runner.checked_valid(valid, array)
        windows = Windows(array, valid, np.ones(len(array), np.int64))
        return self._of_windows(output, windows, protocol, size)

    def _of_windows(
        self, output: Output, windows: Windows, protocol: EvaluationProtocol, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if protocol.crop_seconds is None:
            found = self._runner(output, windows.signals, None, windows.valid_samples, None, size)
            return found, windows.counts
        self._runner.check_crops(protocol, windows.signals.shape[1])
        found, counts = [], []
        for group in windows.groups(size):  # crops may be many times the windows they overlap in
            crops = cropped(group, protocol, self.signal)
            found.append(self._runner(output, crops.signals, None, crops.valid_samples, None, size))
            counts.append(crops.counts)
        return np.concatenate(found), np.concatenate(counts)
