"""Settings of the classification head, in configs and in bundles."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class HeadConfig(BaseModel):
    """The classifier on top of the encoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "attention"] = Field(
        default="linear",
        description="linear: of the mean token; attention: of a learned query's view of the tokens",
    )
    heads: int | None = Field(
        default=None,
        ge=1,
        description="attention heads of an attention head; null: those of the encoder",
    )
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="in training, before the last layer"
    )
