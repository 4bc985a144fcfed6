"""`Resampling`: how often, of whom and over what a bootstrap draws; one for every command."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import get_args

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.draws import Resampler, StrataSizes, Sweep
from deepecg_jax.evaluation.resampling.intervals import IntervalMethod


class Strata(StrataSizes):
    """What JSON says of a stratified bootstrap: the ``column`` too."""

    column: str


@dataclass(frozen=True)
class Resampling:
    """How a bootstrap draws.

    Attributes:
        resamples: how many.
        seed: resample r is a function of (seed, r).
        cluster: ``patient_id`` draws whole patients, ``None`` single records.
        stratify: a column within whose values patients are drawn, such as ``site``.
        interval: ``percentile``, or ``bca`` (bias-corrected and accelerated).
        devices: spread the resamples over these; the result is the same to the bit.

    Raises:
        UserError: a value is out of range.
    """

    resamples: int = 1000
    seed: int = 0
    cluster: str | None = "patient_id"
    stratify: str | None = None
    interval: IntervalMethod = "percentile"
    devices: Devices | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn, once, wherever it comes from."""
        if self.resamples < 1:
            raise UserError(f"resamples is {self.resamples}; at least 1 is needed for an interval.")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; it must be 0 or more.")
        if self.cluster not in (None, "patient_id"):
            raise UserError(f"cluster is '{self.cluster}'; use patient_id or none.")
        if self.interval not in get_args(IntervalMethod):
            raise UserError(f"interval is '{self.interval}'; use percentile or bca.")
        if self.stratify is not None and self.stratify == self.cluster:
            raise UserError(f"Cannot stratify by {self.stratify}, which is what is drawn.")

    def resampler(self, patient_id: np.ndarray) -> Resampler:
        """Draws records whose patients are `patient_id` (N,) text, without strata.

        Raises:
            UserError: whole patients are drawn, and a record has none.
        """
        if self.cluster is None:
            return Resampler.of_records(len(patient_id), self.seed)
        return Resampler.of_patients(patient_id, self.seed)

    def sweep(
        self, patient_id: np.ndarray, column: Callable[[str], np.ndarray]
    ) -> tuple[Sweep, Strata | None]:
        """The sample and its resamples, and what JSON says about the strata.

        Args:
            patient_id: (N,) text.
            column: name -> (N,) text, a column of the same records.

        Raises:
            UserError: a record has no patient, or what `column` raises.
        """
        resampler, strata = self.resampler(patient_id), None
        if self.stratify is not None:
            resampler, sizes = resampler.stratified(column(self.stratify))
            strata: Strata | None = {"column": self.stratify, **sizes}
        return Sweep(resampler, self.resamples, self.interval == "bca"), strata

    def plain(self) -> "Resampling":
        """The same resamples, seed and cluster, without what only some analyses offer."""
        return replace(self, stratify=None, interval="percentile", devices=None)

    def refuse(self, analysis: str, *unused: str) -> None:
        """Say so when a setting is given that an analysis does not use.

        Raises:
            UserError: one of `unused`, names of attributes, is not at its default.
        """
        for field in fields(self):
            if field.name in unused and getattr(self, field.name) != field.default:
                raise UserError(
                    f"{analysis} does not use {field.name} ({getattr(self, field.name)}); leave "
                    "it out."
                )
