"""Settings of masked autoencoding: what is hidden, what of it is predicted, and by what decoder."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.hiding import can_hide
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.objectives.regression import ErrorKind
from deepecg_jax.objectives.token_decoder import DecoderShape

PATCH_SAMPLES = 75
"""Of a patch of ST-MEM, 0.3 s at 250 Hz."""
LEAST_PATCH = 8
"""Samples below which the mean and deviation of a patch say too little to divide by."""


class MaskedSettings(ObjectiveConfig):
    """Masked autoencoding of ECGs (MTAE, MLAE and ST-MEM are three ways to hide)."""

    kind: str = "masked"
    hide: Literal["time", "leads", "both", "tokens"] = Field(
        default="time",
        description="time: the same times of all leads (MTAE); leads: whole leads (MLAE); both: "
        "times and leads; tokens: other times of each lead (ST-MEM), of encoders with tokens of "
        "single leads; not given, it suits the encoder",
    )
    share: float = Field(
        default=0.75, gt=0, lt=1, description="of the times that are hidden (time, both, tokens)"
    )
    lead_share: float = Field(
        default=0.5, gt=0, lt=1, description="of the leads that are hidden (leads, both)"
    )
    span: int = Field(
        default=1,
        ge=1,
        description="tokens that are hidden in a row; not given, those of 75 samples (ST-MEM)",
    )
    target: Literal["patch", "lead", "millivolts"] = Field(
        default="patch",
        description="patch: what a token has of a lead, with mean 0 and variance 1; lead: each "
        "whole lead so; millivolts: as it is, so that voltages are learned; not given, patch where "
        "a token has 8 samples or more, else lead",
    )
    error: ErrorKind = Field(
        default="mse", description="of a sample; mse, l1, or smooth_l1 with beta 1"
    )
    decoder_width: int = Field(default=0, ge=0, description="0: half of the encoder's")
    decoder_layers: int = Field(
        default=4,
        ge=0,
        description="transformer layers, each lead by itself where tokens are of single leads; 0: "
        "one linear layer; not given, 4 where the encoder leaves hidden tokens out, else 0",
    )
    decoder_heads: int = Field(
        default=0, ge=0, description="attention heads; 0: as many as the encoder's width suggests"
    )

    @property
    def hides_times(self) -> bool:
        """Whether times are hidden."""
        return self.hide != "leads"

    @property
    def hides_leads(self) -> bool:
        """Whether whole leads are hidden."""
        return self.hide in ("leads", "both")

    @model_validator(mode="after")
    def _patch_and_span(self) -> Self:
        if self.span > 1 and not self.hides_times:
            raise ValueError(f"span={self.span} is of hidden times, but hide=leads hides none")
        return self

    @classmethod
    def suited(cls, values: Mapping[str, Any], encoder: EncoderConfig) -> dict[str, Any]:
        """What can be hidden of the encoder's tokens, for as long as a patch of ST-MEM."""
        samples = encoder.samples_per_token
        hide = "leads"
        if can_hide(encoder):
            hide = "tokens" if encoder.token_groups > 1 else "time"
        found: dict[str, Any] = {
            "hide": hide,
            "target": "patch" if samples >= LEAST_PATCH else "lead",
            "decoder_layers": 4 if encoder.DROPS_TOKENS else 0,
            **values,
        }
        if found["hide"] != "leads":
            found.setdefault("span", max(1, round(PATCH_SAMPLES / samples)))
        return found

    def hides_tokens(self, encoder: EncoderConfig) -> bool:
        """Whether tokens are kept from the context: not where leads have none of their own."""
        return self.hides_times or (encoder.token_groups > 1 and can_hide(encoder))

    def drops(self, encoder: EncoderConfig) -> bool:
        """Whether they are left out, and a decoder stands in for them, as a linear one cannot."""
        able = encoder.DROPS_TOKENS and self.decoder_layers > 0
        return able and self.hides_tokens(encoder)

    def decoder_shape(self, encoder: EncoderConfig) -> DecoderShape:
        """Of the decoder for an encoder; no layers: a linear one."""
        width = self.decoder_width or max(1, encoder.width // 2)
        heads = self.decoder_heads or math.gcd(width, encoder.attention_heads)
        return DecoderShape(width, self.decoder_layers, heads)

    def values_per_token(self, encoder: EncoderConfig) -> int:
        """What is predicted of one token: its samples of its leads."""
        return encoder.samples_per_token * encoder.leads // encoder.token_groups
