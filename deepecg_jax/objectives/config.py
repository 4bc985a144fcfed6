"""Settings of the objectives."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WCRObjectiveConfig(BaseModel):
    """WCR: wav2vec 2.0 contrastive loss + CMSC + random lead masking (+ lead reconstruction)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["wcr"] = "wcr"
    mask_share: float = Field(
        default=0.5, gt=0, lt=1,
        description="share of tokens hidden in every row; 0.5 is the mean share that the "
        "published span algorithm (mask_prob 0.65, length 10) gives one record of 78 tokens "
        "before its cut to the smallest row of the batch",
    )  # fmt: skip
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
    cmsc_detach_norm: bool = Field(
        default=True, description="as the original: no gradient through norms"
    )
    lead_masking: float = Field(
        default=0.5, ge=0, lt=1, description="probability that a lead is hidden"
    )
    keep_one_lead: bool = Field(default=True, description="never hide all leads of a segment")
    feature_gradient: float = Field(default=0.1, ge=0, description="factor on the stem's gradient")
    gumbel_start: float = Field(default=2.0, gt=0, description="temperature at step 0")
    gumbel_end: float = Field(default=0.5, gt=0, description="lowest temperature")
    gumbel_decay: float = Field(default=0.999995, gt=0, le=1, description="factor a step")
    reconstruction_weight: float = Field(
        default=0.0, ge=0,
        description="on the reconstruction of hidden leads and hidden tokens; "
        "needs model.lead_decoder",
    )  # fmt: skip
