"""Where the crops of ECGs are, as rows to predict, and means over the crops of each ECG."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepecg_jax.data.loading.records import Records, rows_of

_PARTS = 1_000_000  # of a sample


class Crops(NamedTuple):
    """Where the crops of N ECGs are: of each the ECG ``ecg`` (M,), its first sample ``start`` (M,),
    the samples ``valid`` (M,) before zero padding, and how many an ECG has, ``counts`` (N,).
    """

    ecg: np.ndarray
    start: np.ndarray
    valid: np.ndarray
    counts: np.ndarray


def crops_of(valid_samples: np.ndarray, length: int, stride: float) -> Crops:
    """All crops of ``length`` samples that fit into the valid part of each ECG, at least one.

    Crop k begins at floor(k stride). An ECG of which less than ``length`` is valid has one crop,
    its beginning, which is partly padding.

    valid_samples: (N,) samples before zero padding.
    """
    room = np.asarray(valid_samples, np.int64) - length
    step = round(stride * _PARTS)  # whole numbers, so that no crop reaches further by rounding
    counts = np.maximum(-(-(room + 1) * _PARTS // step), 1)
    ecg = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(ecg)) - np.repeat(first_of_each(counts), counts)
    start = number * step // _PARTS
    valid = np.minimum(np.asarray(valid_samples, np.int64)[ecg] - start, length)
    return Crops(ecg, start, valid, counts)


def cut(signals: np.ndarray, rows: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """Crops of ECGs, (N, T, L) -> (M, ``length``, L): crop i of row ``rows[i]`` from sample
    ``start[i]`` on.
    """
    return signals[rows[:, None], start[:, None] + np.arange(length)]


@dataclass(frozen=True)
class CroppedRecords:
    """Records of which each is a crop of one of ``source``: ``signal``, ``lead_mask`` and, where
    any crop is partly padding, ``valid_samples``.
    """

    source: Records
    crops: Crops
    length: int

    def __len__(self) -> int:
        return len(self.crops.ecg)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: values[0] for name, values in self.rows(np.array([index])).items()}

    def rows(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Some of the crops; an ECG with several of them is read once."""
        ecgs, places = np.unique(self.crops.ecg[positions], return_inverse=True)
        read = rows_of(self.source, ecgs)
        signal = cut(read["signal"], places, self.crops.start[positions], self.length)
        found = {"signal": signal, "lead_mask": read["lead_mask"][places]}
        if (self.crops.valid < self.length).any():
            found["valid_samples"] = self.crops.valid[positions].astype(np.int32)
        return found


def mean_of_each(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the rows of each ECG, (M, ...) with ``counts`` (N,) rows each -> (N, ...)."""
    totals = np.add.reduceat(values, first_of_each(counts), axis=0)
    return totals / counts.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))


def first_of_each(counts: np.ndarray) -> np.ndarray:
    """Row of the first piece of each ECG, (N,)."""
    return np.cumsum(counts) - counts
