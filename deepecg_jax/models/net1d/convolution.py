"""Convolutions and pooling that leave a token for every started stride."""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import uniform_fan_in
from deepecg_jax.models.products import convolution, linear, shifted

Array = jax.Array


class Convolution(nnx.Module):
    """Convolution over time, (B, T, I) -> (B, ceil(T / stride), O), from PyTorch's default draw.

    K - 1 zeros surround the input, half of them on each side, and an odd one on the right. An odd
    kernel is centred, as in PyTorch's residual networks. For an even kernel and a stride of one or
    two it is the ``SAME`` padding of ECGFounder, save that a zero which no tap sees may be added.
    Padding does not depend on T, so a crop and a whole ECG are filtered alike.

    groups: each group of outputs sees its group of inputs.
    """

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None, None)}

    def __init__(
        self,
        n_in: int,
        n_out: int,
        taps: int,
        key: Array,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool,
    ):
        kernel_key, bias_key = jax.random.split(key)
        shape = (taps, n_in // groups, n_out)
        fan_in = taps * (n_in // groups)
        self.kernel = nnx.Param(uniform_fan_in(kernel_key, shape, fan_in))
        self.bias = nnx.Param(uniform_fan_in(bias_key, (n_out,), fan_in)) if bias else None
        self.stride = stride

    def __call__(self, x: Array) -> Array:
        """In the dtype of ``x``."""
        kernel = self.kernel[...]
        taps = kernel.shape[0]
        if taps == 1 and kernel.shape[1] == x.shape[2]:
            # a matrix product: its gradient is faster than a convolution's on CPU
            y = linear(x[:, :: self.stride], kernel[0])
        else:
            y = convolution(x, kernel, self.stride, ((taps - 1) // 2, taps // 2))
        return y if self.bias is None else shifted(y, self.bias[...])


def max_pool(x: Array, stride: int) -> Array:
    """Largest of every ``stride`` samples, (B, T, C) -> (B, ceil(T / stride), C).

    Zeros fill up the last window, as ECGFounder's do: its largest value is never negative.
    """
    if stride == 1:
        return x
    # not the maximum over an axis: with the flags of the tests, XLA:CPU (jaxlib 0.10.2) makes of
    # its gradient a program that reads what it has not written
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % stride), (0, 0)))
    return functools.reduce(jnp.maximum, [x[:, i::stride] for i in range(stride)])
