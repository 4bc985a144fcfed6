"""Settings of WCR: weights, masks, temperatures, and the sizes of its heads."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.objective import ObjectiveConfig

# what suits an encoder of a named size; the defaults are those of base
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"codewords": 64, "final_dim": 48},
    "small": {"codewords": 160, "final_dim": 64},
    "large": {"final_dim": 768},
}


class WCRSettings(ObjectiveConfig):
    """WCR: wav2vec 2.0 contrastive loss + CMSC + random lead masking (+ lead reconstruction)."""

    kind: str = "wcr"
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
        description="on the reconstruction of hidden leads and hidden tokens; needs lead_decoder",
    )
    codebook_groups: int = Field(default=2, ge=1, description="product-quantizer groups G")
    codewords: int = Field(
        default=320,
        ge=2,
        description="codewords V in each group; not given, it suits a named size of encoder",
    )
    latent_dim: int = Field(
        default=0, ge=0, description="width of a quantized vector; 0: final_dim"
    )
    final_dim: int = Field(
        default=256,
        ge=1,
        description="width of the contrastive space; not given, it suits a named size of encoder",
    )
    lead_decoder: bool = Field(
        default=False,
        description="a linear decoder from tokens to the signal, for lead reconstruction",
    )
    dropout_features: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="dropout on the features to be quantized"
    )
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

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.code_dim % self.codebook_groups:
            raise ValueError(
                f"codebook_groups={self.codebook_groups} must divide the latent width "
                f"{self.code_dim}"
            )
        if self.reconstruction_weight and not self.lead_decoder:
            raise ValueError("reconstruction_weight needs objective.lead_decoder=true")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """CMSC's positives are patients."""
        return frozenset({"patient"})

    @property
    def whole(self) -> bool:
        """Two whole segments of each ECG."""
        return True

    @property
    def code_dim(self) -> int:
        """Width of a quantized vector (all groups together)."""
        return self.latent_dim or self.final_dim

    @classmethod
    def suited(cls, values: Mapping[str, Any], encoder: EncoderConfig) -> dict[str, Any]:
        """Codebook and contrastive space of the encoder's named size, where not given."""
        return {**SIZES.get(getattr(encoder, "size", ""), {}), **values}
