"""Squeeze-and-excitation: channels are weighted by what the whole ECG shows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.layers import Linear

Array = jax.Array


class Gate(nnx.Module):
    """Squeeze-and-excitation (Hu et al. 2018): each channel times a factor 0..1 of the record.

    activation: between the two linear layers, the inner one of width // reduction.
    """

    def __init__(
        self, width: int, reduction: int, activation: Callable[[Array], Array], key: Array
    ):
        down, up = jax.random.split(key)
        self.down = Linear.torch_default(width, max(width // reduction, 1), down)
        self.up = Linear.torch_default(max(width // reduction, 1), width, up)
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        """(B, T, C) -> (B, T, C)."""
        mean = x.astype(jnp.float32).mean(1)
        factor = jax.nn.sigmoid(self.up(self.activation(self.down(mean))))
        return x * factor.astype(x.dtype)[:, None]
