"""The bottleneck block of ECGFounder's Net1D."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.batch_norm import BatchNorm
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.gate import Gate
from deepecg_jax.models.net1d.convolution import Convolution, max_pool
from deepecg_jax.models.net1d.parts import ACTIVATIONS, norm_of, normed
from deepecg_jax.models.net1d.shape import Net1DShape, Stage

Array = jax.Array


class BottleneckBlock(nnx.Module):
    """Convolution of one tap, grouped convolution, convolution of one tap, gate; plus the input.

    Norm, activation and dropout come before each convolution (pre-activation, He et al. 2016b), but
    not before the first one of the network, whose input the stem has just activated. The grouped
    convolution has the stride (Xie et al. 2017, ResNeXt). The shortcut has no parameters: the
    largest of every ``stride`` samples, and zeros on both sides of the channels.
    """

    def __init__(
        self,
        config: Net1DShape,
        stage: Stage,
        n_in: int,
        stride: int,
        key: Array,
        activated: bool = False,
    ):
        keys = jax.random.split(key, 4)
        width, groups = stage.width, stage.width // stage.group_width
        self.first_norm = None if activated else norm_of(config, n_in)
        self.first = Convolution(n_in, width, 1, keys[0], bias=True)
        self.grouped_norm = norm_of(config, width)
        self.grouped = Convolution(
            width, width, stage.kernel, keys[1], stride=stride, groups=groups, bias=True
        )
        self.last_norm = norm_of(config, width)
        self.last = Convolution(width, width, 1, keys[2], bias=True)
        self.activation = ACTIVATIONS[config.activation]
        self.gate = Gate(width, stage.reduction, self.activation, keys[3])
        self.activated = activated
        self.dropout = config.dropout
        self.stride = stride

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """(B, T, I) -> (B, T', O); ``key`` trains: batch statistics and dropout."""
        keys = [None] * 3 if key is None else list(jax.random.split(key, 3))
        y = x if self.activated else self._activated(self.first_norm, x, keys[0])
        y = self.grouped(self._activated(self.grouped_norm, self.first(y), keys[1]))
        y = self.last(self._activated(self.last_norm, y, keys[2]))
        return self.gate(y) + self._shortcut(x, y.shape[2])

    def _activated(self, norm: BatchNorm | None, x: Array, key: Array | None) -> Array:
        """Norm, activation and dropout, (B, T, C) -> (B, T, C)."""
        return dropout(self.activation(normed(norm, x, key is not None)), self.dropout, key)

    def _shortcut(self, x: Array, width: int) -> Array:
        added = width - x.shape[2]
        edges = ((0, 0), (0, 0), (added // 2, added - added // 2))
        return jnp.pad(max_pool(x, self.stride), edges)
