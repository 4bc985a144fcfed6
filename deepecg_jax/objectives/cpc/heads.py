"""What CPC trains beside the encoder."""

from typing import ClassVar

import jax
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import uniform_fan_in
from deepecg_jax.models.products import linear
from deepecg_jax.models.sharding import rows_split

Array = jax.Array


class CPCHeads(nnx.Module):
    """Predictions W_k c of the features k tokens later, a matrix W_k for each of K horizons.

    Args:
        width: D, of a token of the context.
        features: C, of a feature.
        horizons: K.
        key: initial weights, PyTorch's default of a linear layer.
    """

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None)}

    def __init__(self, width: int, features: int, horizons: int, key: Array):
        self.kernel = nnx.Param(uniform_fan_in(key, (width, horizons * features), width))
        self.horizons = horizons

    def __call__(self, tokens: Array) -> Array:
        """(B, N, D) -> (B, N, K, C)."""
        predicted = linear(tokens, self.kernel[...])
        return rows_split(predicted.reshape(*tokens.shape[:2], self.horizons, -1))
