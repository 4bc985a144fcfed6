"""One S4 layer: state spaces over time, then a gated product over channels."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layers import Norm, gelu, uniform_fan_in
from deepecg_jax.models.products import affine
from deepecg_jax.models.s4.shape import S4Shape
from deepecg_jax.models.s4.state_space import StateSpace

Array = jax.Array


class S4Layer(nnx.Module):
    """LayerNorm(x + GLU(W GELU(state space of x) + b)), with dropout before and after the product.

    The layer of ECG-CPC (Gu et al. 2022, post-norm); the GLU (Dauphin et al. 2017) multiplies one
    half of the product by the sigmoid of the other.
    """

    AXES: ClassVar[dict[str, Axes]] = {"mix_kernel": ("width", None)}

    def __init__(self, config: S4Shape, key: Array):
        keys = jax.random.split(key, 3)
        width = config.width
        self.space = StateSpace(config, keys[0])
        self.mix_kernel = nnx.Param(uniform_fan_in(keys[1], (width, 2 * width), width))
        self.mix_bias = nnx.Param(uniform_fan_in(keys[2], (2 * width,), width))
        self.norm = Norm(width)
        self.rate = config.dropout

    def __call__(self, x: Array, padding: Array | None = None, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, N, D).

        padding: (B, N) bool, true where a token is padding, or None; its content is not read.
        key: randomness for dropout; None evaluates.
        """
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        if padding is not None:
            x = jnp.where(padding[..., None], 0.0, x)
        y = drop_channels(gelu(self.space(x)), self.rate, keys[0])
        y = affine(y, self.mix_kernel[...], self.mix_bias[...], self.AXES["mix_kernel"])
        value, gate = jnp.split(y, 2, -1)
        y = drop_channels(value * jax.nn.sigmoid(gate), self.rate, keys[1])
        return self.norm(x + y)


def drop_channels(x: Array, rate: float, key: Array | None) -> Array:
    """Dropout of whole channels: what is dropped of an ECG is dropped of all its tokens, (B, N, D).

    ``key=None`` (evaluation) or ``rate=0`` is the identity.
    """
    if key is None or rate == 0.0:
        return x
    return x * dropout(jnp.ones((x.shape[0], 1, x.shape[2]), x.dtype), rate, key)
