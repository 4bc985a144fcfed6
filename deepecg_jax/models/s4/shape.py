"""Shape and regularisation of an S4 encoder, and its named sizes."""

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from deepecg_jax.models.encoder import EncoderConfig, Samples

Positive = Annotated[int, Field(ge=1)]


class ConvLayer(NamedTuple):
    """One convolution of the stem."""

    width: Positive
    kernel: Positive
    stride: Positive

    @property
    def padding(self) -> int:
        """Zeros on both sides."""
        return (self.kernel - 1) // 2

    def n_tokens(self, n_in: Samples) -> Samples:
        """Tokens out of ``n_in``."""
        return (n_in + 2 * self.padding - self.kernel) // self.stride + 1


SIZES: dict[str, dict[str, Any]] = {
    # 0.04 M parameters: tests and a first look
    "tiny": {"width": 64, "layers": 2},
    # 0.75 M: a laptop CPU and some thousand ECGs
    "small": {"width": 256},
    # 2.9 M: ECG-CPC
    "base": {},
}
_PUBLISHED = ((3, 2), (1, 1), (1, 1), (1, 1))
# (kernel, stride) of each stem convolution
STEMS = {
    "tiny": ((5, 4), (3, 2), (1, 1), (1, 1)),
    "small": _PUBLISHED,
    "base": _PUBLISHED,
}


class S4Shape(EncoderConfig):
    """S4 encoder. ``size`` fills whatever is not given explicitly; the defaults are ``base``."""

    kind: str = "s4"
    size: Literal["tiny", "small", "base"] = Field(
        default="base", description="named size that fills every field of the shape not given here"
    )
    width: int = Field(default=512, ge=1, description="model width D, also of the stem")
    conv_layers: tuple[ConvLayer, ...] = Field(
        default=(),
        min_length=1,
        description="(width, kernel, stride) of each stem convolution; the last one is as wide as "
        "the model",
    )
    layers: int = Field(default=4, ge=1, description="S4 layers")
    state: int = Field(
        default=8, ge=2, multiple_of=2, description="numbers N in the state of a channel"
    )
    direction: Literal["causal", "bidirectional"] = Field(
        default="causal",
        description="causal: a token knows of earlier ones only; bidirectional: of all",
    )
    kernel: Literal["nplr", "diagonal"] = Field(
        default="nplr",
        description="state matrix: nplr is diagonal plus low rank (S4), diagonal without the low "
        "rank (S4D)",
    )
    learn_state: bool = Field(
        default=False,
        description="the step sizes, the state matrix and its input are trained too",
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="of channels, the same for all tokens: before and after the product of a layer",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_size(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("size", "base") not in SIZES:
            return values
        size = values.get("size", "base")
        values = {**SIZES[size], **values}
        if "conv_layers" not in values:
            width = values.get("width", cls.model_fields["width"].default)
            values["conv_layers"] = [(width, *shape) for shape in STEMS[size]]
        return values

    @model_validator(mode="after")
    def _stem_fits(self) -> "S4Shape":
        if self.conv_layers[-1].width != self.width:
            raise ValueError(
                f"the last of conv_layers is {self.conv_layers[-1].width} wide, but must be as "
                f"wide as the model, width={self.width}"
            )
        return self

    @property
    def causal(self) -> bool:
        """Whether a token of the context depends on earlier tokens only."""
        return self.direction == "causal"

    @property
    def samples_per_token(self) -> int:
        """Product of the strides."""
        return math.prod(layer.stride for layer in self.conv_layers)

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Tokens for a signal of ``n_samples`` samples (2500 -> 1250 by default)."""
        for layer in self.conv_layers:
            n_samples = layer.n_tokens(n_samples)
        return n_samples
