"""Pre-norm transformer layers for the decoders of objectives."""

from dataclasses import dataclass
from typing import Literal

import jax

from deepecg_jax.models.blocks.transformer import Transformer

FEED_FORWARD = 4
"""Width of a feed-forward block over that of its layer."""


@dataclass(frozen=True)
class PreNorm:
    """A `TransformerConfig`: width D, layers, and attention heads, which divide the width.

    Nothing is dropped, and all is computed as suits the platform.
    """

    width: int
    layers: int
    heads: int
    layer_norm_first: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    attention: Literal["auto"] = "auto"
    remat: Literal["auto"] = "auto"
    scan_unroll: int = 0

    @property
    def ffn_width(self) -> int:
        """Width between the two products of a feed-forward block."""
        return FEED_FORWARD * self.width


def pre_norm_layers(layers: int, width: int, heads: int, key: jax.Array) -> Transformer:
    """Attention and feed-forward, each normalised before and added, and a norm at the end."""
    return Transformer(PreNorm(width, layers, heads), key)
