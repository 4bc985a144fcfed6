"""Which random changes a training makes, and whether the ECGs and the encoder allow them."""

from pydantic import Field

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import SignalContract


class ViewConfig(Settings):
    """Random changes of the training ECGs."""

    crop_seconds: float | None = Field(
        default=None, gt=0, description="length of a random piece, s; null: the whole ECG"
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
    noise_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of white noise on each lead, mV"
    )

    def length(self, sampling_rate: float) -> int | None:
        """Samples of a piece; None: the whole ECG."""
        return None if self.crop_seconds is None else round(self.crop_seconds * sampling_rate)


class LabelledViewConfig(ViewConfig):
    """The same with changes that change labels too."""

    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup (Zhang et al. 2018) on signals and labels; 0: none",
    )


def check_views(
    config: ViewConfig, contract: SignalContract, model: EncoderConfig, where: str
) -> None:
    """UserError if the pieces that are cut out are longer than the ECGs of ``where``, or shorter
    than one token.
    """
    length = config.length(contract.sampling_rate)
    if length is None:
        return
    if length > contract.n_samples:
        raise UserError(
            f"augment.crop_seconds={config.crop_seconds:g} is longer than the ECGs of {where}, "
            f"which are {contract.seconds:g} s; choose at most that, or null for whole ECGs."
        )
    if length < 1 or model.n_tokens(length) < 1:
        raise UserError(
            f"augment.crop_seconds={config.crop_seconds:g} leaves {length} samples, less than one "
            f"token of the encoder ({model.samples_per_token} samples); choose more."
        )
