"""Settings of the objectives."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CompatConfig(BaseModel):
    """Peculiarities of the published code that change numbers, each with its default and why.

    What has no switch is listed in deepecg_jax/models/wcr/README.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cmsc_detach_norm: bool = Field(
        default=True,
        description="no gradient through the norms of the CMSC cosine, as the original: "
        "the published weights were trained so",
    )
    hide_all_leads: bool = Field(
        default=False,
        description="random lead masking may hide all leads of a segment, as the original (once "
        "in 4,096 segments at 0.5): such a segment teaches nothing, so one lead is kept",
    )
    adam_epsilon: Literal["corrected", "uncorrected"] = Field(
        default="corrected",
        description="epsilon is added to the root of the bias-corrected second moment, as torch "
        "and optax do, or of the uncorrected one, as fairseq's Adam does, which makes early steps "
        "of rarely used weights smaller",
    )
    loss_normalization: Literal["known_labels", "positives"] = Field(
        default="known_labels",
        description="fine-tuning loss: mean over known labels, or sum over them divided by the "
        "number of positive labels, as the original; that step size varies with prevalence",
    )


class LossConfig(BaseModel):
    """The loss of fine-tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class WCRObjectiveConfig(BaseModel):
    """WCR: wav2vec 2.0 contrastive loss + CMSC + random lead masking (+ lead reconstruction)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["wcr"] = "wcr"
    mask_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of tokens hidden in every row; 0.5 is the mean share that the "
        "published span algorithm (mask_prob 0.65, length 10) gives one record of 78 tokens "
        "before its cut to the smallest row of the batch",
    )
    mask_span: int = Field(default=10, ge=1, description="tokens in a hidden span")
    negatives: int = Field(default=100, ge=1, description="negatives a token, from the same record")
    temperature: float = Field(default=0.1, gt=0, description="of the InfoNCE logits")
    contrastive_weight: float = Field(default=1.0, ge=0)
    diversity_weight: float = Field(default=0.1, ge=0, description="on unused codewords")
    features_weight: float = Field(
        default=10.0, ge=0, description="on the mean square of stem features"
    )
    cmsc_weight: float = Field(default=1.0, ge=0)
    cmsc_temperature: float = Field(default=0.1, gt=0)
    lead_masking: float = Field(
        default=0.5, ge=0, lt=1, description="probability that a lead is hidden"
    )
    feature_gradient: float = Field(default=0.1, ge=0, description="factor on the stem's gradient")
    gumbel_start: float = Field(default=2.0, gt=0, description="temperature at step 0")
    gumbel_end: float = Field(default=0.5, gt=0, description="lowest temperature")
    gumbel_decay: float = Field(default=0.999995, gt=0, le=1, description="factor a step")
    reconstruction_weight: float = Field(
        default=0.0,
        ge=0,
        description="on the reconstruction of hidden leads and hidden tokens; "
        "needs model.lead_decoder",
    )
