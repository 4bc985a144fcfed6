"""Shape and regularisation of a WCR encoder (wav2vec 2.0 for ECG), and its named sizes."""

import math
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from deepecg_jax.models.blocks.transformer_options import (
    AttentionOption,
    Probability,
    RematOption,
    UnrollOption,
)
from deepecg_jax.models.encoder import EncoderConfig, Samples


class ConvLayer(NamedTuple):
    """One convolution of the stem."""

    width: int
    kernel: int
    stride: int


SIZES: dict[str, dict[str, Any]] = {
    # about 0.4 M parameters: tests and the quickstart
    "tiny": {
        "conv_layers": [(48, 4, 4), (64, 2, 2), (64, 2, 2), (64, 2, 2)],
        "width": 96,
        "layers": 3,
        "heads": 4,
        "ffn_width": 288,
        "positional_kernel": 32,
        "positional_groups": 4,
    },
    # about 1.0 M: a laptop CPU and some thousand ECGs
    "small": {
        "conv_layers": [(64, 2, 2)] * 4,
        "width": 128,
        "layers": 4,
        "heads": 4,
        "ffn_width": 512,
        "positional_kernel": 64,
        "positional_groups": 8,
    },
    # 90.9 M in pretraining: the size of DeepECG-SSL and ECG-FM
    "base": {},
    "large": {
        "conv_layers": [(512, 2, 2)] * 4,
        "width": 1024,
        "layers": 24,
        "heads": 16,
        "ffn_width": 4096,
        "layer_norm_first": True,
    },
}


class WCRShape(EncoderConfig):
    """WCR encoder. ``size`` fills whatever is not given explicitly; the defaults are ``base``."""

    kind: str = "wcr"
    size: Literal["tiny", "small", "base", "large"] = Field(
        default="base", description="named size that fills every field of the shape not given here"
    )
    conv_layers: tuple[ConvLayer, ...] = Field(
        default=(ConvLayer(256, 2, 2),) * 4,
        description="(width, kernel, stride) of each stem convolution",
    )
    conv_bias: bool = Field(default=False, description="bias in the stem convolutions")
    width: int = Field(default=768, ge=8, description="model width D")
    layers: int = Field(default=12, ge=1, description="transformer layers")
    heads: int = Field(default=12, ge=1, description="attention heads; must divide width")
    ffn_width: int = Field(default=3072, ge=8, description="width of the feed-forward block")
    layer_norm_first: bool = Field(default=False, description="pre-LN (true) or post-LN (false)")
    positional_kernel: int = Field(
        default=128, ge=1, description="taps of the positional convolution"
    )
    positional_groups: int = Field(
        default=16, ge=1, description="groups of the positional convolution"
    )
    dropout: Probability = Field(
        default=0.1, description="after the input norm, attention, and ffn"
    )
    attention_dropout: Probability = Field(
        default=0.1, description="on the attention probabilities"
    )
    activation_dropout: Probability = Field(
        default=0.0, description="inside the feed-forward block"
    )
    dropout_input: Probability = Field(default=0.1, description="on the projected stem features")
    attention: AttentionOption = "auto"
    remat: RematOption = "auto"
    scan_unroll: UnrollOption = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_size(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("size", "base") in SIZES:
            return {**SIZES[values.get("size", "base")], **values}
        return values

    @model_validator(mode="after")
    def _divisible(self) -> "WCRShape":
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        if self.width % self.positional_groups:
            raise ValueError(
                f"positional_groups={self.positional_groups} must divide width={self.width}"
            )
        return self

    @property
    def feature_width(self) -> int:
        """Channels of the last convolution of the stem."""
        return self.conv_layers[-1].width

    @property
    def samples_per_token(self) -> int:
        """Product of the strides."""
        return math.prod(layer.stride for layer in self.conv_layers)

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Tokens for a signal of ``n_samples`` samples (1250 -> 78, 2500 -> 156 by default)."""
        for _, kernel, stride in self.conv_layers:
            n_samples = (n_samples - kernel) // stride + 1
        return n_samples
