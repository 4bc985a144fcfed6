"""How a loaded model is applied: `encode`, `embed`, `logits` and `probabilities` of a bundle."""

from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from scipy.special import expit, logit

from deepecg_jax.bundle.runner import Output, Runner
from deepecg_jax.bundle.windows import Signals, Windows, are_recordings, at_rate, windows_of
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.standard.site_profile import SiteProfiles


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

    UserError on NaN or infinity, integers (microvolts?), another number of leads, signals shorter
    than one token, a recording that cannot be used. Products are of full float32 on every device.
    """

    folder: Path
    signal: SignalContract
    labels: tuple[str, ...]
    _runner: Runner

    def encode(self, signals: Signals, **given: Unpack[Given]) -> np.ndarray:
        """Encoder tokens, (N, tokens, width) float32.

        Recordings give the tokens of all their windows one after another; UserError where one has
        more windows than another (then take :meth:`embed`).
        """
        tokens, windows = self._run("tokens", signals, given)
        if windows is None:
            return tokens
        if len(set(windows.counts.tolist())) > 1:
            raise UserError(
                f"The recordings have {windows.counts.min()} to {windows.counts.max()} windows of "
                f"{self.signal.seconds:g} s, so their tokens make no array; cut them to one "
                "length, or take embed."
            )
        return tokens.reshape(len(windows.counts), -1, tokens.shape[-1])

    def embed(self, signals: Signals, **given: Unpack[Given]) -> np.ndarray:
        """One vector an ECG: the mean of the encoder's tokens that are not padding, (N, width).

        Recordings give the mean over their windows. float32.
        """
        vectors, windows = self._run("embedding", signals, given)
        return vectors if windows is None else windows.mean(vectors)

    def logits(self, signals: Signals, **given: Unpack[Given]) -> np.ndarray:
        """Logits, (N, labels) float32: of the mean probability of a recording's windows."""
        logits, windows = self._classify(signals, given)
        if windows is None or windows.counts.max() == 1:
            return logits
        means = windows.mean(expit(logits.astype(np.float64)))
        several = windows.counts > 1
        first = logits[np.cumsum(windows.counts) - 1]
        return np.where(several[:, None], logit(means), first).astype(np.float32)

    def probabilities(self, signals: Signals, **given: Unpack[Given]) -> np.ndarray:
        """Sigmoid of the logits, (N, labels) float32 in 0..1, the mean over a recording's windows.

        These are the scores of ``deepecg predict``.
        """
        logits, windows = self._classify(signals, given)
        found = expit(logits.astype(np.float64)).astype(np.float32)
        return found if windows is None else windows.mean(found)

    def _classify(self, signals: Signals, given: Given) -> tuple[np.ndarray, Windows | None]:
        if not self.labels:
            raise UserError(
                f"{self.folder} is an encoder without a head; fine-tune it to get logits."
            )
        return self._run("logits", signals, given)

    def _run(
        self, output: Output, signals: Signals, given: Given
    ) -> tuple[np.ndarray, Windows | None]:
        """(windows, ...) and which ECG they belong to; None where they are the ECGs."""
        size = given.get("batch_size", 64)
        if are_recordings(signals):
            wrong = [name for name in _OF_ARRAYS if given.get(name) is not None]
            if wrong:
                raise UserError(f"Recordings say all about themselves; do not give {wrong[0]}.")
            windows = windows_of(signals, self.signal, given.get("profiles"))
            found = self._runner(output, windows.signals, None, windows.valid_samples, None, size)
            return found, windows
        if given.get("profiles") is not None:
            raise UserError("profiles go with recordings; an array is filtered already.")
        array, valid = np.asarray(signals), given.get("valid_samples")
        mask, rate = given.get("lead_mask"), given.get("sampling_rate")
        if rate is not None and rate != self.signal.sampling_rate:
            array = self._runner.checked(array, mask, size)
            array, valid = at_rate(array, rate, self.signal, valid)
        return self._runner(output, array, mask, valid, given.get("contract"), size), None
