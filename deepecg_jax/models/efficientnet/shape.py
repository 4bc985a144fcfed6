"""Shape and regularisation of a one-dimensional EfficientNet, and its named variants.

EfficientNetV2 (Tan and Le 2021) over time, as DeepECG-SL uses it: no down-sampling in the stem, a
quarter-width squeeze-and-excitation in every block, LeakyReLU.
"""

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from deepecg_jax.models.blocks.batch_norm import NormGroups, NormMomentum
from deepecg_jax.models.encoder import EncoderConfig, Samples

Block = Literal["fused", "mbconv"]
Positive = Annotated[int, Field(ge=1)]


class Stage(NamedTuple):
    """Blocks of one shape; only the first one has the stride and may change the width."""

    block: Block  # fused: one convolution; mbconv: expand, depthwise, project
    width: Positive  # channels out
    depth: Positive  # blocks
    kernel: Positive  # taps, odd
    stride: Positive  # of the first block
    expansion: Positive = 6  # mbconv: inner channels over channels in; fused: unused
    reduction: Positive = 4  # squeeze-and-excitation: channels over its inner width


# Before scaling: channels of the stem and the six stages, then the tail; blocks a stage.
_WIDTHS = (12, 12, 24, 32, 64, 80, 128, 640)
_DEPTHS = (1, 2, 2, 3, 4, 5)
_KERNELS = (3, 3, 5, 3, 5, 3)
STRIDES = (1, 1, 2, 2, 2, 2)


def _variant(width: float, depth: float, fused_stages: int) -> dict[str, Any]:
    """Compound scaling (Tan and Le 2019): widths rounded down, depths rounded up."""
    stem, *widths, tail = (int(width * channels) for channels in _WIDTHS)
    stages = []
    for i, (channels, blocks) in enumerate(zip(widths, _DEPTHS, strict=True)):
        kind: Block = "fused" if i < fused_stages else "mbconv"
        expansion = 1 if i == 0 else 6
        stages.append(
            Stage(kind, channels, math.ceil(depth * blocks), _KERNELS[i], STRIDES[i], expansion)
        )
    return {"stem_width": stem, "stages": stages, "width": tail}


VARIANTS: dict[str, dict[str, Any]] = {
    "b0_v1": _variant(1.0, 1.0, 0),  # 3.4 M parameters with 77 labels
    "b0_v2": _variant(1.0, 1.0, 4),  # 3.1 M
    "b1_v2": _variant(1.0, 1.1, 4),  # 3.8 M
    "b2_v2": _variant(1.1, 1.2, 4),  # 4.6 M
    "b3_v2": _variant(1.2, 1.4, 4),  # 6.5 M
    "b4_v2": _variant(1.4, 1.8, 4),  # 11.6 M
    "b5_v2": _variant(1.6, 2.2, 4),  # 18.1 M
    "s_v2": _variant(1.0, 2.0, 4),  # 6.5 M: DeepECG-SL
    "m_v2": _variant(1.1, 2.2, 4),  # 8.6 M
    "l_v2": _variant(1.2, 2.2, 4),  # 10.2 M
}


class EfficientNetShape(EncoderConfig):
    """1-D EfficientNet. ``variant`` fills whatever of the shape is not given explicitly."""

    kind: str = "efficientnet"
    variant: Literal[
        "b0_v1",
        "b0_v2",
        "b1_v2",
        "b2_v2",
        "b3_v2",
        "b4_v2",
        "b5_v2",
        "s_v2",
        "m_v2",
        "l_v2",
        "custom",
    ] = Field(
        default="s_v2",
        description="named shape that fills stem_width, stages and width where not given here; "
        "custom: none, all are given",
    )
    stem_width: int = Field(default=12, ge=1, description="channels of the first convolution")
    stages: tuple[Stage, ...] = Field(
        default=(),
        description="(block, width, depth, kernel, stride, expansion, reduction) of each stage; "
        "block is fused or mbconv, kernel odd",
    )
    width: int = Field(default=640, ge=1, description="channels of the tail: token width D")
    input_scale: float = Field(
        default=1.0,
        gt=0,
        description="the millivolts of the input are multiplied by this first; the published "
        "DeepECG-SL weights take counts of 4.8 uV: 1 / 0.0048",
    )
    stochastic_depth: float = Field(
        default=0.304,
        ge=0,
        lt=1,
        description="probability that an ECG skips a residual block in training",
    )
    norm_momentum: NormMomentum = 0.1
    norm_groups: NormGroups = 1

    @model_validator(mode="before")
    @classmethod
    def _fill_variant(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("variant", "s_v2") in VARIANTS:
            return {**VARIANTS[values.get("variant", "s_v2")], **values}
        return values

    @model_validator(mode="after")
    def _stages(self) -> "EfficientNetShape":
        if not self.stages:
            raise ValueError("stages must name at least one stage (variant=custom fills none)")
        for i, stage in enumerate(self.stages):
            if stage.kernel % 2 == 0:
                raise ValueError(f"stages.{i}: kernel={stage.kernel} must be odd")
        return self

    @property
    def samples_per_token(self) -> int:
        """Product of the strides."""
        return math.prod(stage.stride for stage in self.stages)

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Tokens for a signal of ``n_samples`` samples (2500 -> 157 by default), at least one."""
        for stage in self.stages:
            n_samples = -(-n_samples // stage.stride)
        return n_samples
