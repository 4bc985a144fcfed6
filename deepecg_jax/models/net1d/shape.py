"""Shape and regularisation of a convolutional network over time, and its named sizes."""

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from deepecg_jax.models.blocks.batch_norm import NormGroups, NormMomentum
from deepecg_jax.models.encoder import EncoderConfig, Samples

Block = Literal["basic", "bottleneck"]
Positive = Annotated[int, Field(ge=1)]


class Stage(NamedTuple):
    """Blocks of one shape; only the first one has the stride and may change the width."""

    block: Block  # basic: two convolutions; bottleneck: 1, grouped and 1 again, with a gate
    width: Positive  # channels out
    depth: Positive  # blocks
    kernel: Positive  # taps
    stride: Positive  # of the first block
    group_width: Positive = 16  # bottleneck: channels a group of its convolution; basic: unused
    reduction: Positive = 2  # bottleneck: channels over the inner width of its gate; basic: unused


def _founder() -> list[Stage]:
    widths = (64, 160, 160, 400, 400, 1024, 1024)
    depths = (2, 2, 2, 3, 3, 4, 4)
    return [Stage("bottleneck", w, d, 16, 2) for w, d in zip(widths, depths, strict=True)]


SIZES: dict[str, dict[str, Any]] = {
    # tests
    "resnet_tiny": {
        "stem_width": 8,
        "stem_kernel": 7,
        "stages": [Stage("basic", width, 1, 5, 2) for width in (8, 16)],
        "width": 16,
    },
    # 1.6 M parameters: He et al.'s 18 layers, an eighth as wide
    "resnet_small": {
        "stem_width": 32,
        "stem_kernel": 15,
        "stages": [Stage("basic", width, 2, 5, 2) for width in (32, 64, 128, 256)],
        "width": 256,
    },
    # 30.6 M: ECGFounder
    "ecgfounder": {
        "stem_width": 64,
        "stem_kernel": 16,
        "stages": _founder(),
        "width": 1024,
        "activation": "swish",
        "batch_norm": False,
    },
}


class Net1DShape(EncoderConfig):
    """1-D convolutional network. ``size`` fills whatever of the shape is not given explicitly."""

    kind: str = "net1d"
    size: Literal["resnet_tiny", "resnet_small", "ecgfounder", "custom"] = Field(
        default="resnet_small",
        description="named shape that fills stem_width, stem_kernel, stages, width, activation and "
        "batch_norm where not given here; custom: none, all are given",
    )
    stem_width: int = Field(default=32, ge=1, description="channels of the first convolution")
    stem_kernel: int = Field(default=15, ge=1, description="taps of the first convolution")
    stem_stride: int = Field(default=2, ge=1, description="stride of the first convolution")
    stages: tuple[Stage, ...] = Field(
        default=(),
        description="(block, width, depth, kernel, stride, group_width, reduction) of each stage; "
        "block is basic or bottleneck",
    )
    width: int = Field(default=256, ge=1, description="channels of the last stage: token width D")
    activation: Literal["relu", "swish"] = Field(default="relu", description="in stem and blocks")
    batch_norm: bool = Field(
        default=True, description="batch normalisation in stem and blocks; false: none at all"
    )
    input_scale: float = Field(
        default=1.0,
        gt=0,
        description="the millivolts of the input are multiplied by this first; without batch_norm "
        "a network wants signals of about unit variance",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="after the activations inside a block, in training",
    )
    norm_momentum: NormMomentum = 0.1
    norm_groups: NormGroups = 1

    @model_validator(mode="before")
    @classmethod
    def _fill_size(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("size", "resnet_small") in SIZES:
            return {**SIZES[values.get("size", "resnet_small")], **values}
        return values

    @model_validator(mode="after")
    def _stages(self) -> "Net1DShape":
        if not self.stages:
            raise ValueError("stages must name at least one stage (size=custom fills none)")
        n_in = self.stem_width
        for i, stage in enumerate(self.stages):
            if stage.block == "bottleneck" and stage.width % stage.group_width:
                raise ValueError(
                    f"stages.{i}: group_width={stage.group_width} must divide width={stage.width}"
                )
            if stage.block == "bottleneck" and stage.width < n_in:
                raise ValueError(
                    f"stages.{i}: width={stage.width} is less than the {n_in} channels before it, "
                    "and the shortcut of a bottleneck can only add channels"
                )
            n_in = stage.width
        if self.width != n_in:
            raise ValueError(f"width={self.width} must be the width of the last stage, {n_in}")
        if self.norm_groups > 1 and not self.batch_norm:
            raise ValueError(
                f"norm_groups={self.norm_groups} needs batch_norm=true; leave it out or turn the "
                "norms on"
            )
        return self

    @property
    def samples_per_token(self) -> int:
        """Product of the strides."""
        return self.stem_stride * math.prod(stage.stride for stage in self.stages)

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Tokens for a signal of ``n_samples`` samples (2500 -> 79 by default), at least one."""
        for stride in (self.stem_stride, *(stage.stride for stage in self.stages)):
            n_samples = -(-n_samples // stride)
        return n_samples
