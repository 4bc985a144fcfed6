"""Shape and regularisation of a patch transformer, and its named sizes."""

from typing import Any, Literal

from pydantic import Field, model_validator

from deepecg_jax.models.blocks.transformer_options import (
    AttentionOption,
    Probability,
    RematOption,
    UnrollOption,
)
from deepecg_jax.models.encoder import EncoderConfig, Samples

# parameters with the default patches; the last three are those of Weimann and Conrad (2024)
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 96, "layers": 3, "heads": 4},  # 0.36 M: tests and a laptop
    "xs": {"width": 192, "layers": 8, "heads": 4},  # 3.6 M
    "small": {"width": 384, "layers": 8, "heads": 6},  # 14.3 M
    "base": {"width": 768, "layers": 12, "heads": 12},  # 85.2 M
}
# 0.1 s of all leads; 0.2 s of one lead, which divides the 10 s of an ECG and its halves
PATCH_SAMPLES = {"all_leads": 25, "per_lead": 50}
NORM_EPSILON = 1e-6


class ViTShape(EncoderConfig):
    """Patch transformer. ``size`` fills whatever is not given explicitly; the default is ``xs``."""

    kind: str = "vit"
    size: Literal["tiny", "xs", "small", "base"] = Field(
        default="xs", description="named size that fills width, layers and heads not given here"
    )
    patches: Literal["all_leads", "per_lead"] = Field(
        default="all_leads",
        description="a token is a span of time of all leads together, or of one lead",
    )
    patch_samples: int = Field(
        default=25,
        ge=1,
        description="samples of a patch; not given: 25 of all leads, 50 of one lead",
    )
    width: int = Field(default=192, ge=2, description="model width D, even")
    layers: int = Field(default=8, ge=1, description="transformer layers")
    heads: int = Field(default=4, ge=1, description="attention heads; must divide width")
    ffn_width: int = Field(
        default=768, ge=1, description="width of the feed-forward block; not given: 4 x width"
    )
    biases: bool = Field(default=False, description="biases in products and norms")
    attention_pattern: Literal["full", "cross"] = Field(
        default="full",
        description="full: a token attends to all; cross: to those of its own lead and those of "
        "its own time (patches=per_lead)",
    )
    dropout: Probability = Field(
        default=0.0, description="on what goes into the layers, after attention, and after ffn"
    )
    attention_dropout: Probability = Field(
        default=0.0, description="on the attention probabilities"
    )
    activation_dropout: Probability = Field(
        default=0.0, description="inside the feed-forward block"
    )
    attention: AttentionOption = "auto"
    remat: RematOption = "auto"
    scan_unroll: UnrollOption = 0

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: object) -> object:
        """What is not given, by the size, by the kind of patches, and by the width."""
        if not isinstance(values, dict):
            return values
        filled = {**SIZES.get(str(values.get("size", "xs")), {}), **values}
        kind = str(filled.get("patches", "all_leads"))
        if "patch_samples" not in filled and kind in PATCH_SAMPLES:
            filled["patch_samples"] = PATCH_SAMPLES[kind]
        if "ffn_width" not in filled and isinstance(filled.get("width"), int):
            filled["ffn_width"] = 4 * filled["width"]
        return filled

    @model_validator(mode="after")
    def _fits(self) -> "ViTShape":
        if self.width % 2:
            raise ValueError(f"width={self.width} must be even: positions are pairs of waves")
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        if self.attention_pattern == "cross":
            if self.patches != "per_lead":
                raise ValueError("attention_pattern=cross needs patches=per_lead")
            if self.attention == "splash":
                raise ValueError(
                    "attention=splash cannot do attention_pattern=cross; choose xla or auto"
                )
        return self

    @property
    def layer_norm_first(self) -> bool:
        """Norms before attention and feed-forward block, and one at the end."""
        return True

    @property
    def token_groups(self) -> int:
        """One for each lead where a patch is of one lead."""
        return self.leads if self.patches == "per_lead" else 1

    @property
    def samples_per_token(self) -> int:
        """Samples of a patch."""
        return self.patch_samples

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Whole patches of ``n_samples`` samples, of all groups: a rest is left out."""
        return self.token_groups * (n_samples // self.patch_samples)
