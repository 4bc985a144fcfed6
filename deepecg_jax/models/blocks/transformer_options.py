"""What a config says of its transformer, in words that the families share."""

from typing import Annotated, Literal, Protocol

from pydantic import Field

from deepecg_jax.models.blocks.attention_cores import AttentionName

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
RematName = Literal["auto", "none", "dots", "full"]

AttentionOption = Annotated[
    AttentionName,
    Field(
        description="what computes softmax(q k) v: xla (plain products), cudnn (a fused kernel for "
        "GPU in bfloat16) or splash (one for TPU), which drop no attention probabilities; auto: "
        "the fastest that can do the work"
    ),
]
RematOption = Annotated[
    RematName,
    Field(
        description="what a layer does not keep for the backward pass but computes again: none, "
        "all but products (dots), all (full); auto: what suits the platform"
    ),
]
UnrollOption = Annotated[
    int,
    Field(
        ge=0,
        description="layers unrolled in one iteration of the layer loop; 0: what suits the "
        "platform",
    ),
]

SPEED_FIELDS = ("attention", "remat", "scan_unroll")
"""Options that change speed and memory but no number."""


class TransformerConfig(Protocol):
    """The fields of a family's config that its `Transformer` reads."""

    @property
    def width(self) -> int:
        """D."""
        ...

    @property
    def layers(self) -> int:
        """Layers one after another."""
        ...

    @property
    def heads(self) -> int:
        """Attention heads; they divide the width."""
        ...

    @property
    def ffn_width(self) -> int:
        """Width between the two products of a feed-forward block."""
        ...

    @property
    def layer_norm_first(self) -> bool:
        """Pre-LN (true) or post-LN (false)."""
        ...

    @property
    def dropout(self) -> float:
        """On what goes into the layers, and behind attention and feed-forward block."""
        ...

    @property
    def attention_dropout(self) -> float:
        """On the attention probabilities."""
        ...

    @property
    def activation_dropout(self) -> float:
        """Inside the feed-forward block."""
        ...

    @property
    def attention(self) -> AttentionName:
        """See `AttentionOption`."""
        ...

    @property
    def remat(self) -> RematName:
        """See `RematOption`."""
        ...

    @property
    def scan_unroll(self) -> int:
        """See `UnrollOption`."""
        ...
