"""How ECGs are cut into crops for evaluation, and how the scores of crops become one.

Benchmarks differ in this, and their figures with it: the same model is better by some thousandths
of macro AUROC with overlapping crops, or with the maximum of their probabilities.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit, logit

from deepecg_jax.data.loading.crops import (
    CroppedRecords,
    crops_of,
    first_of_each,
    mean_of_each,
)
from deepecg_jax.data.loading.records import Records
from deepecg_jax.errors import UserError
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import SignalContract

Aggregate = Literal["mean_probability", "mean_logit", "max"]
_IN_WORDS: Mapping[Aggregate, str] = {
    "mean_probability": "the mean of their probabilities",
    "mean_logit": "the mean of their logits",
    "max": "the maximum of their probabilities",
}


class EvaluationProtocol(Settings):
    """Which pieces of an ECG are predicted, and how their scores become one."""

    crop_seconds: float | None = Field(
        default=None, gt=0, description="length of the crops, s; null: the whole ECG"
    )
    crop_stride_seconds: float | None = Field(
        default=None,
        gt=0,
        description="from the start of one crop to that of the next, s; null: crop_seconds, so "
        "that crops do not overlap",
    )
    aggregate: Aggregate = Field(
        default="mean_probability",
        description="of the crops of an ECG, label by label: mean_probability, mean_logit, or max "
        "(of the probabilities)",
    )

    @model_validator(mode="after")
    def _stride_of_crops(self) -> Self:
        if self.crop_stride_seconds is not None and self.crop_seconds is None:
            raise ValueError("crop_stride_seconds goes with crop_seconds, which is null")
        return self

    @property
    def in_words(self) -> str:
        """For people."""
        joined = _IN_WORDS[self.aggregate]
        if self.crop_seconds is None:
            return f"whole ECGs (of several windows {joined})"
        stride = self.crop_stride_seconds or self.crop_seconds
        return f"crops of {self.crop_seconds:g} s every {stride:g} s, {joined}"

    def samples(self, sampling_rate: float) -> tuple[int, float] | None:
        """Length of a crop, and from one to the next, samples; None for whole ECGs.

        A step need not be whole (1.25 s at 250 Hz): crops begin at what it adds up to, rounded
        down.
        """
        if self.crop_seconds is None:
            return None
        stride = self.crop_stride_seconds or self.crop_seconds
        return round(self.crop_seconds * sampling_rate), round(stride * sampling_rate, 6)

    def check(
        self,
        contract: SignalContract,
        n_tokens: Callable[[int], int],
        where: str,
        n_samples: int | None = None,
    ) -> None:
        """UserError if the crops are longer than the ECGs of ``where`` (the contract's, or
        ``n_samples``), shorter than one token, or less than a sample apart.
        """
        samples = self.samples(contract.sampling_rate)
        if samples is None:
            return
        length, stride = samples
        whole = contract.n_samples if n_samples is None else n_samples
        if length > whole:
            raise UserError(
                f"crop_seconds={self.crop_seconds:g} is longer than the ECGs of {where}, which are "
                f"{whole / contract.sampling_rate:g} s; choose at most that, or whole ECGs."
            )
        if length < 1 or n_tokens(length) < 1:
            raise UserError(
                f"crop_seconds={self.crop_seconds:g} leaves {length} samples of {where}, less than "
                "one token of the encoder; choose more."
            )
        if stride < 1:
            raise UserError(
                f"crop_stride_seconds={self.crop_stride_seconds:g} is less than a sample of "
                f"{where}; choose more."
            )

    def joined_logits(self, logits: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Logits of pieces (M, C), ``counts`` (N,) of them an ECG -> (N, C) float32.

        Those of the mean probability where that is what is asked for; a single piece keeps its own.
        """
        if (counts == 1).all():
            return logits
        if self.aggregate == "max":
            return np.maximum.reduceat(logits, first_of_each(counts), axis=0)
        wide = logits.astype(np.float64)
        if self.aggregate == "mean_logit":
            return mean_of_each(wide, counts).astype(np.float32)
        means = mean_of_each(expit(wide), counts)
        alone = (counts == 1)[:, None]
        means = logit(means, out=np.zeros_like(means), where=~alone)
        return np.where(alone, logits[first_of_each(counts)], means).astype(np.float32)

    def joined_probabilities(self, logits: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Logits of pieces (M, C), ``counts`` (N,) of them an ECG -> (N, C) float32 in 0..1."""
        if self.aggregate == "mean_probability":
            return mean_of_each(expit(logits.astype(np.float64)).astype(np.float32), counts)
        joined = self.joined_logits(logits, counts)
        return expit(joined.astype(np.float64)).astype(np.float32)


WHOLE = EvaluationProtocol()
"""Whole ECGs; of an ECG of several windows the mean probability."""


def overridden(
    protocol: EvaluationProtocol,
    crop_seconds: float | None = None,
    crop_stride_seconds: float | None = None,
    aggregate: Aggregate | None = None,
) -> EvaluationProtocol:
    """A protocol with what is given instead; ``crop_seconds=0`` is the whole ECG.

    Another length comes with its own stride: without one, crops do not overlap.

    Raises:
        UserError: a stride without crops, or an impossible value.
    """
    values = protocol.model_dump()
    if crop_seconds is not None:
        values |= {"crop_seconds": crop_seconds or None, "crop_stride_seconds": None}
    if crop_stride_seconds is not None:
        if values["crop_seconds"] is None:
            raise UserError("crop_stride_seconds goes with crop_seconds; give both.")
        values["crop_stride_seconds"] = crop_stride_seconds
    for name in ("crop_seconds", "crop_stride_seconds"):
        if values[name] is not None and not 0 < values[name] < np.inf:
            raise UserError(f"{name} is {values[name]:g}, but must be a positive number of s.")
    return EvaluationProtocol.model_validate(
        values | ({} if aggregate is None else {"aggregate": aggregate})
    )


def pieces_of(
    records: Records, valid_samples: np.ndarray, protocol: EvaluationProtocol, rate: float
) -> tuple[Records, np.ndarray]:
    """What a protocol predicts of records, and how many pieces each of them has, (N,).

    valid_samples: (N,) of the records, before zero padding; rate: of their signals, Hz.
    """
    samples = protocol.samples(rate)
    if samples is None:
        return records, np.ones(len(records), np.int64)
    crops = crops_of(valid_samples, *samples)
    return CroppedRecords(records, crops, samples[0]), crops.counts
