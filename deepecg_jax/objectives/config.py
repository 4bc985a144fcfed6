"""Settings of the classification losses, and of what differs from the published code."""

from typing import Literal

from pydantic import Field

from deepecg_jax.settings import Settings


class CompatConfig(Settings):
    """Peculiarities of the published code that change numbers, each with its default and why.

    Those of WCR are switches of its objective; what has no switch is listed in
    deepecg_jax/models/wcr/README.md.
    """

    adam_epsilon: Literal["corrected", "uncorrected"] = Field(
        default="corrected",
        description="epsilon is added to the root of the bias-corrected second moment, as torch "
        "and optax do, or of the uncorrected one, as fairseq's Adam does, which makes early steps "
        "of rarely used weights smaller",
    )


class FinetuneCompatConfig(CompatConfig):
    """The same, of fine-tuning."""

    loss_normalization: Literal["known_labels", "positives"] = Field(
        default="known_labels",
        description="fine-tuning loss: mean over known labels, or sum over them divided by the "
        "number of positive labels, as the original; that step size varies with prevalence",
    )


class LossConfig(Settings):
    """The loss of fine-tuning."""

    kind: Literal["bce", "focal", "asymmetric", "soft_margin", "squared_error"] = Field(
        default="bce",
        description="binary cross-entropy; focal (Lin 2017); asymmetric (Ridnik 2021); multi-label "
        "soft margin (mean over labels first); squared error of the raw outputs, for regression",
    )
    focal_alpha: float = Field(default=0.25, ge=0, le=1, description="weight of positives")
    focal_gamma: float = Field(default=2.0, ge=0, description="exponent of the wrong probability")
    asymmetric_margin: float = Field(
        default=0.05, ge=0, lt=1, description="negatives below this probability count nothing"
    )
    asymmetric_gamma_positive: float = Field(default=0.0, ge=0, description="exponent, positives")
    asymmetric_gamma_negative: float = Field(default=4.0, ge=0, description="exponent, negatives")
