"""The basic block of a residual network."""

import jax
from flax import nnx

from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.net1d.convolution import Convolution
from deepecg_jax.models.net1d.parts import ACTIVATIONS, norm_of, normed
from deepecg_jax.models.net1d.shape import Net1DShape, Stage

Array = jax.Array


class BasicBlock(nnx.Module):
    """Two convolutions and a shortcut (He et al. 2016, figure 2), over time.

    Convolution, norm, activation, convolution, norm; plus the input; activation. Where the shape
    changes, the input goes through a convolution of one tap and a norm (their option B). Dropout
    is between the convolutions (Zagoruyko and Komodakis 2016).
    """

    def __init__(self, config: Net1DShape, stage: Stage, n_in: int, stride: int, key: Array):
        keys = jax.random.split(key, 3)
        width, bias = stage.width, not config.batch_norm
        self.first = Convolution(n_in, width, stage.kernel, keys[0], stride=stride, bias=bias)
        self.first_norm = norm_of(config, width)
        self.second = Convolution(width, width, stage.kernel, keys[1], bias=bias)
        self.second_norm = norm_of(config, width)
        changes = stride != 1 or n_in != width
        self.shortcut = (
            Convolution(n_in, width, 1, keys[2], stride=stride, bias=bias) if changes else None
        )
        self.shortcut_norm = norm_of(config, width) if changes else None
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.dropout

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """(B, T, I) -> (B, T', O); ``key`` trains: batch statistics and dropout."""
        training = key is not None
        y = self.activation(normed(self.first_norm, self.first(x), training))
        y = normed(self.second_norm, self.second(dropout(y, self.dropout, key)), training)
        if self.shortcut is not None:
            x = normed(self.shortcut_norm, self.shortcut(x), training)
        return self.activation(x + y)
