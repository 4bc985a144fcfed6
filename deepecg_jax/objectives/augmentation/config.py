"""Which random changes a training makes, and whether the ECGs and the encoder allow them."""

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract


class ViewConfig(Settings):
    """Random changes of the training ECGs."""

    crop_seconds: float | None = Field(
        default=None, gt=0, description="length of a random piece, s; null: the whole ECG"
    )
    time_scaling: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="a piece runs faster or slower by up to this share, 0.1 for 10 %; needs "
        "crop_seconds, with so much of the ECG left over",
    )
    rotation_degrees: float = Field(
        default=0.0,
        ge=0,
        le=180,
        description="largest rotation of the vectorcardiogram about each axis (3KG: 45), of ECGs "
        "with all leads",
    )
    dipole_scaling: float = Field(
        default=1.0,
        ge=1,
        description="largest factor on each axis of the vectorcardiogram (3KG: 1.5), of ECGs with "
        "all leads",
    )
    lead_masking: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="an ECG loses each lead with a probability up to twice this",
    )
    gain_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of the log of a random gain of each lead"
    )
    common_gain_deviation: float = Field(
        default=0.0,
        ge=0,
        description="standard deviation of the log of a random gain of all leads together",
    )
    noise_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of white noise on each lead, mV"
    )
    wander_amplitude: float = Field(
        default=0.0,
        ge=0,
        description="largest amplitude of a wandering baseline, three sinusoids below 0.5 Hz, mV",
    )
    powerline_amplitude: float = Field(
        default=0.0, ge=0, description="largest amplitude of powerline interference, mV"
    )
    powerline_hertz: Literal[50, 60] = Field(default=50, description="frequency of the mains, Hz")
    cutout_seconds: float = Field(
        default=0.0, ge=0, description="length of a span in which all leads are set to zero, s"
    )
    lead_cutout_seconds: float = Field(
        default=0.0, ge=0, description="length of a span in which one lead is set to zero, s"
    )

    @model_validator(mode="after")
    def _room_for_speed(self) -> Self:
        if self.time_scaling and self.crop_seconds is None:
            raise ValueError(
                f"time_scaling={self.time_scaling:g} takes more or less of an ECG, so it needs "
                "crop_seconds"
            )
        return self

    @property
    def turns_dipole(self) -> bool:
        """Whether the vectorcardiogram is rotated or scaled."""
        return self.rotation_degrees > 0 or self.dipole_scaling > 1

    def length(self, sampling_rate: float) -> int | None:
        """Samples of a piece; None: the whole ECG."""
        return None if self.crop_seconds is None else round(self.crop_seconds * sampling_rate)

    def shown(self, contract: SignalContract) -> SignalContract:
        """What the ECGs of ``contract`` are after the changes."""
        length = self.length(contract.sampling_rate)
        return (
            contract
            if length is None
            else replace(contract, seconds=length / contract.sampling_rate)
        )


class LabelledViewConfig(ViewConfig):
    """The same with changes that change labels too."""

    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup (Zhang et al. 2018) on signals and labels; 0: none",
    )


def check_views(
    config: ViewConfig,
    contract: SignalContract,
    model: EncoderConfig,
    where: str,
    section: str = "augment",
) -> None:
    """UserError, one sentence, if the changes do not suit the ECGs of ``where`` or the encoder.

    section: of the config, where the changes are asked for.
    """
    _check_length(config, contract, model, where, section)
    shown = config.shown(contract)
    for name in ("cutout_seconds", "lead_cutout_seconds"):
        seconds = getattr(config, name)
        span = round(seconds * contract.sampling_rate)
        if seconds and not 1 <= span < shown.n_samples:
            raise UserError(
                f"{section}.{name}={seconds:g} is {span} samples of an ECG of {shown.n_samples}; "
                "choose a span that is at least one sample and leaves some, or 0."
            )
    if config.powerline_amplitude and config.powerline_hertz >= contract.sampling_rate / 2:
        raise UserError(
            f"{section}.powerline_hertz={config.powerline_hertz} cannot be in the ECGs of {where}, "
            f"which have {contract.sampling_rate:g} samples a second; set "
            f"{section}.powerline_amplitude=0."
        )
    if config.turns_dipole and (contract.leads != STANDARD_LEADS or contract.scaling == "fairseq"):
        raise UserError(
            f"{section}.rotation_degrees and dipole_scaling need the twelve leads "
            f"{' '.join(STANDARD_LEADS)} on one scale, which the ECGs of {where} are not (leads "
            f"{' '.join(contract.leads)}, scaling {contract.scaling}); leave them out."
        )


def _check_length(
    config: ViewConfig, contract: SignalContract, model: EncoderConfig, where: str, section: str
) -> None:
    length = config.length(contract.sampling_rate)
    if length is None:
        return
    if length > contract.n_samples:
        raise UserError(
            f"{section}.crop_seconds={config.crop_seconds:g} is longer than the ECGs of {where}, "
            f"which are {contract.seconds:g} s; choose at most that, or null for whole ECGs."
        )
    if length < 1 or model.n_tokens(length) < 1:
        raise UserError(
            f"{section}.crop_seconds={config.crop_seconds:g} leaves {length} samples, less than "
            f"one token of the encoder ({model.samples_per_token} samples); choose more."
        )
    if length * (1.0 + config.time_scaling) > contract.n_samples:
        most = int(contract.n_samples / (1.0 + config.time_scaling)) / contract.sampling_rate
        raise UserError(
            f"{section}.crop_seconds={config.crop_seconds:g} with time_scaling="
            f"{config.time_scaling:g} takes more of an ECG than there is of those of {where} "
            f"({contract.seconds:g} s); choose a crop_seconds of at most {most:g}."
        )
