"""Settings of JEPA: its mask, its predictor, its teacher."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.masking.keeping import Range
from deepecg_jax.objectives.objective import ObjectiveConfig, TeacherDecay
from deepecg_jax.objectives.token_decoder import DecoderShape


class JEPASettings(ObjectiveConfig):
    """JEPA: predicts the teacher's features of hidden tokens."""

    kind: str = "jepa"
    mask: Literal["weimann", "multiblock", "random"] = Field(
        default="weimann",
        description="weimann: blocks are hidden until few tokens are left; multiblock: some blocks "
        "are predicted from a larger one without them; random: tokens by themselves",
    )
    keep: Range = Field(
        default=(0.15, 0.25),
        description="share of the tokens that stays, drawn for each batch (weimann, random; "
        "Kim's ECG-JEPA: random, 0.3 to 0.4)",
    )
    shortest_block: int = Field(
        default=10, ge=1, description="tokens of the shortest hidden block (weimann)"
    )
    blocks: int = Field(default=4, ge=1, description="blocks to predict (multiblock)")
    block: Range = Field(
        default=(0.15, 0.2), description="share of the tokens in each of them (multiblock)"
    )
    context: Range = Field(
        default=(0.85, 1.0),
        description="share of the tokens that they are predicted from, less theirs (multiblock)",
    )
    error: Literal["l1", "smooth_l1"] = Field(
        default="l1", description="of a predicted feature; smooth_l1 has beta 1"
    )
    normalise_targets: bool = Field(
        default=True,
        description="the teacher's tokens are normalised by themselves, without scale and bias, "
        "before they are targets",
    )
    predictor_width: int = Field(default=0, ge=0, description="0: half of the encoder's")
    predictor_layers: int = Field(default=4, ge=1, description="transformer layers")
    predictor_heads: int = Field(
        default=0, ge=0, description="attention heads; 0: as many as the encoder's width suggests"
    )
    teacher_start: float = Field(
        default=0.998, ge=0, le=1, description="share of the teacher that an update keeps, at first"
    )
    teacher_end: float = Field(default=0.9995, ge=0, le=1, description="the same at the end")
    teacher_way: Literal["linear", "cosine"] = Field(
        default="linear", description="from the one to the other"
    )

    @model_validator(mode="after")
    def _something_is_hidden_and_something_shown(self) -> Self:
        if self.keep[1] == 1.0:
            raise ValueError("keep=1 hides nothing; its larger share must be below 1")
        most = self.blocks * self.block[1]
        if most >= self.context[0]:
            raise ValueError(
                f"{self.blocks} blocks of {self.block[1]:g} may leave nothing of a context of "
                f"{self.context[0]:g}; choose fewer or smaller ones, or a larger context"
            )
        return self

    @property
    def teacher(self) -> TeacherDecay:
        """How slowly the teacher follows."""
        return TeacherDecay(self.teacher_start, self.teacher_end, self.teacher_way)

    def predictor_shape(self, encoder: EncoderConfig) -> DecoderShape:
        """Of the predictor for an encoder."""
        width = self.predictor_width or max(1, encoder.width // 2)
        heads = self.predictor_heads or math.gcd(width, encoder.attention_heads)
        return DecoderShape(width, self.predictor_layers, heads)
