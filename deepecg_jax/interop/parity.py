"""The parity certificate: both sides of an export really run on realistic ECGs."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.data.loading.protocol import WHOLE
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract

BOUND = 1e-4  # float32, on logits or tokens
N_RECORDS = 16
SEED = 20240
_SYNTHETIC_RATE = 250.0  # Hz, of `deepecg_jax.signals.synthetic`
FILE_NAME = "parity.json"


def realistic_signals(contract: SignalContract, n_records: int = N_RECORDS) -> np.ndarray:
    """Synthetic ECGs of many rhythms and findings that obey ``contract``, (n, n_samples, leads) mV.

    Every fourth record lacks one lead, as recordings in the field do.
    """
    from deepecg_jax.signals.resample import resample
    from deepecg_jax.signals.synthetic import generate

    signals = generate(np.arange(n_records, dtype=np.int64), SEED).signal
    columns = [STANDARD_LEADS.index(lead) for lead in contract.leads]
    signals = signals[:, :, columns]
    if contract.sampling_rate != _SYNTHETIC_RATE:
        rates = (_SYNTHETIC_RATE, contract.sampling_rate)
        signals = np.stack([resample(signal, *rates) for signal in signals])
    repeats = -(-contract.n_samples // signals.shape[1])
    signals = np.tile(signals, (1, repeats, 1))[:, : contract.n_samples].astype(np.float32)
    for i in range(0, n_records, 4):
        signals[i, :, i % len(contract.leads)] = 0.0
    return signals


def reference(bundle: Bundle, signals: np.ndarray) -> np.ndarray:
    """What the bundle says: logits of a classifier, tokens of an encoder; full precision.

    Of the signals as they are: an exported model does not cut them into crops.
    """
    if bundle.labels:
        return bundle.logits(signals, batch_size=N_RECORDS, protocol=WHOLE)
    return bundle.encode(signals, batch_size=N_RECORDS)


def certify(
    bundle: Bundle,
    other: Callable[[np.ndarray], np.ndarray],
    *,
    name: str,
    lengths: tuple[int, ...],
    bound: float = BOUND,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Run the bundle and ``other`` on the same ECGs; the content of ``parity.json``.

    other: (N, T, leads) millivolts -> what :func:`reference` returns, by the exported model.
    lengths: numbers of samples T to try. UserError if the outputs differ by more than ``bound``.
    """
    signals = realistic_signals(bundle.signal)
    worst, largest = 0.0, 0.0
    for length in lengths:
        ours = reference(bundle, signals[:, :length])
        theirs = np.asarray(other(signals[:, :length]))
        if ours.shape != theirs.shape:
            raise UserError(
                f"the {name} export of {bundle.folder} gives {theirs.shape} where the bundle gives "
                f"{ours.shape}; nothing was written."
            )
        difference = float(np.abs(ours.astype(np.float64) - theirs).max())
        if not difference <= bound:  # also catches NaN
            raise UserError(
                f"the {name} export of {bundle.folder} differs from the bundle by "
                f"{difference:.3g} (bound {bound:g}) on signals of {length} samples; nothing was "
                "written."
            )
        worst, largest = max(worst, difference), max(largest, float(np.abs(ours).max()))
    return {
        **_head(bundle, bound, versions),
        "verified": True,
        "max_abs_difference": worst,
        "max_abs_output": largest,
        "n_records": len(signals),
        "lengths": list(lengths),
        "signals": f"deepecg_jax.signals.synthetic, seed {SEED}",
    }


def not_verified(bundle: Bundle, bound: float = BOUND) -> dict[str, Any]:
    """The content of ``parity.json`` when the two sides were not compared."""
    return {
        **_head(bundle, bound, {}),
        "verified": False,
        "max_abs_difference": None,
        "max_abs_output": None,
        "n_records": 0,
        "lengths": [],
        "signals": None,
    }


def _head(bundle: Bundle, bound: float, versions: dict[str, str]) -> dict[str, Any]:
    return {
        "output": "logits" if bundle.labels else "tokens",
        "dtype": "float32",
        "bound": bound,
        "bundle_fingerprint": bundle.fingerprint,
        "versions": {"jax": jax.__version__, **versions},
    }
