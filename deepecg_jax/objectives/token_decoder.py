"""A small transformer from the tokens of an encoder to what an objective wants of every place."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import Linear
from deepecg_jax.models.blocks.positions import sine_cosine
from deepecg_jax.models.products import linear, shifted
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.hiding import in_place
from deepecg_jax.objectives.pre_norm import FEED_FORWARD, pre_norm_layers

Array = jax.Array


class DecoderShape(NamedTuple):
    """Width of a layer, number of layers (1 or more), attention heads (they divide the width)."""

    width: int
    layers: int
    heads: int


class TokenDecoder(nnx.Module):
    """Pre-norm layers over all places of an ECG (the predictor of I-JEPA, Assran et al. 2023; the
    decoder of a masked autoencoder, He et al. 2022).

    The encoder's tokens are projected and put at their places, a learned mask token at those of the
    tokens that the encoder was not given; both get sine-cosine positions in time, and, where tokens
    of several groups see each other, a learned embedding of their group.

    Args:
        n_in, n_out: widths of the encoder's tokens and of the result.
        shape: of the layers.
        groups: token groups of the encoder (`models.encoder.EncoderConfig.token_groups`).
        alone: each group is a row of its own, so tokens see those of their leads only (ST-MEM).
        drops: the encoder is not given the hidden tokens; otherwise it has made tokens of them too.
        key: initial weights.
    """

    AXES: ClassVar[dict[str, Axes]] = {"group_embedding": (None, None, None)}

    def __init__(
        self,
        n_in: int,
        n_out: int,
        shape: DecoderShape,
        groups: int,
        key: Array,
        *,
        alone: bool,
        drops: bool,
    ):
        keys = jax.random.split(key, 5)
        width, layers, heads = shape
        self.into = Linear.xavier(n_in, width, keys[0])
        self.mask_token = nnx.Param(0.02 * jax.random.normal(keys[1], (width,))) if drops else None
        together = groups > 1 and not alone
        self.group_embedding = (
            nnx.Param(0.02 * jax.random.normal(keys[2], (groups, 1, width))) if together else None
        )
        self.layers = pre_norm_layers(layers, width, heads, keys[3])
        self.out = Linear.xavier(width, n_out, keys[4])
        self.groups, self.alone = groups, alone

    def __call__(self, tokens: Array, hidden: Array, padding: Array | None) -> Array:
        """The encoder's visible tokens, (B, K, n_in), or all, (B, N, n_in) -> (B, N, n_out).

        hidden: (B, N) bool, tokens that the encoder had to do without.
        padding: (B, N) bool, tokens that are padding and not attended to; None where none is.
        """
        batch, n_tokens = hidden.shape
        x = self.into(tokens)
        if self.mask_token is not None:
            # as a product, so that its gradient is summed as those of other parameters are
            here = hidden[..., None].astype(x.dtype)
            x = in_place(x, hidden, linear(here, self.mask_token[...][None]))
        width, times = x.shape[-1], n_tokens // self.groups
        x = x.reshape(batch, self.groups, times, width)
        x = x + jnp.asarray(sine_cosine(times, width), x.dtype)
        if self.group_embedding is not None:
            x = shifted(x, self.group_embedding[...])
        rows = batch * self.groups if self.alone else batch
        x = rows_split(x.reshape(rows, -1, width))
        x = self.layers(x, None if padding is None else padding.reshape(rows, -1))
        return self.out(rows_split(x.reshape(batch, n_tokens, width)))


def decoder_flops(
    shape: DecoderShape, n_in: int, n_out: int, given: int, n_tokens: int, groups: int, alone: bool
) -> float:
    """Operations of a decoder's products for one ECG, two for each multiplication and addition.

    given: tokens that the encoder hands on. n_tokens: places. groups, alone: as of the decoder.
    """
    width, layers, _ = shape
    seen = n_tokens // groups if alone else n_tokens
    a_layer = (4 + 2 * FEED_FORWARD) * width * width + 2 * seen * width
    return 2.0 * (given * n_in * width + n_tokens * (layers * a_layer + width * n_out))
