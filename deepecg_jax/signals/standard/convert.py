"""From one signal contract to another: sampling rate, leads, scaling, and windows of the length.

For models that were trained on another form than the data sets hold, such as ECG-FM (500 Hz, 5 s,
each lead z-scored).
"""

import dataclasses

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.resample import resample, resampled_length


def in_millivolts(contract: SignalContract) -> SignalContract:
    """The same rate, duration and leads in unscaled millivolts."""
    return dataclasses.replace(contract, unit="mV", scaling="millivolt")


def convert(
    signals: np.ndarray,
    valid_samples: np.ndarray,
    source: SignalContract,
    target: SignalContract,
    where: str = "the signals",
) -> tuple[np.ndarray, np.ndarray]:
    """ECGs of ``source``'s form to windows of ``target``'s form.

    signals: (N, T, L) float32; valid_samples: (N,) samples before zero padding.
    Returns windows (N, W, T', L') and their valid samples (N, W). W is the number of whole target
    windows in a source ECG, at least one; a shorter ECG is zero-padded, and a window that is all
    padding has 0 valid samples.

    UserError where there is no way from one to the other: a lead that the source lacks, or a
    scaling that cannot be undone.
    """
    _check(source, target, where)
    columns = [source.leads.index(lead) for lead in target.leads]
    n, t = signals.shape[:2]
    x = np.asarray(signals, np.float32)[:, :, columns]
    if source.sampling_rate != target.sampling_rate:
        rates = source.sampling_rate, target.sampling_rate
        x = resample(x.transpose(1, 0, 2).reshape(t, -1), *rates)
        x = x.reshape(-1, n, len(columns)).transpose(1, 0, 2)
        valid_samples = np.array([resampled_length(int(v), *rates) for v in valid_samples])
    length = target.n_samples
    windows = max(1, x.shape[1] // length)
    valid = np.clip(valid_samples[:, None] - length * np.arange(windows), 0, length)
    if x.shape[1] < length:
        x = np.pad(x, ((0, 0), (0, length - x.shape[1]), (0, 0)))
    x = x[:, : windows * length].reshape(n, windows, length, len(columns))
    if target.scaling != source.scaling:
        x = zscore(x, valid)
    return np.ascontiguousarray(x), valid


def zscore(windows: np.ndarray, valid_samples: np.ndarray) -> np.ndarray:
    """Each lead of each ECG to mean 0 and standard deviation 1 over all its windows' valid samples.

    windows: (N, W, T, L); valid_samples: (N, W). A constant lead becomes 0, and so does padding.
    Population deviation, as fairseq-signals' preprocessing, which scales the whole record before
    it is cut.
    """
    keep = np.arange(windows.shape[2]) < valid_samples[..., None]  # (N, W, T)
    weight = keep[..., None] / np.maximum(keep.sum((1, 2)), 1)[:, None, None, None]
    mean = (windows * weight).sum((1, 2), dtype=np.float64)[:, None, None]
    centred = windows - mean
    deviation = np.sqrt((centred**2 * weight).sum((1, 2), dtype=np.float64))[:, None, None]
    constant = deviation <= 1e-6
    scaled = np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))
    return np.where(keep[..., None], scaled, 0.0).astype(np.float32)


def _check(source: SignalContract, target: SignalContract, where: str) -> None:
    missing = [lead for lead in target.leads if lead not in source.leads]
    if missing:
        raise UserError(f"{where} cannot be converted: there is no lead {', '.join(missing)}.")
    if source.unit != target.unit:
        raise UserError(
            f"{where} cannot be converted: their unit is {source.unit}, not {target.unit}."
        )
    if source.filters != target.filters:
        raise UserError(
            f"{where} cannot be converted: {' and '.join(source.filters) or 'nothing'} was "
            f"filtered out of them, not {' and '.join(target.filters) or 'nothing'}."
        )
    if source.scaling == target.scaling:
        return
    if source.scaling != "millivolt" or target.scaling != "fairseq":
        raise UserError(
            f"{where} cannot be converted from the scaling {source.scaling} to {target.scaling}; "
            "only unscaled millivolts can be z-scored."
        )
