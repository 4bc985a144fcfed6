"""The convolutional stem: raw signal to one feature vector every two samples (by default)."""

from typing import ClassVar

import jax
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.batch_norm import BatchNorm
from deepecg_jax.models.layers import uniform_fan_in
from deepecg_jax.models.products import convolution, linear
from deepecg_jax.models.s4.shape import S4Shape
from deepecg_jax.models.sharding import rows_split

Array = jax.Array
NORM_MOMENTUM = 0.1  # PyTorch's default


class ConvStem(nnx.Module):
    """Convolutions without bias, each with batch normalisation and ReLU.

    Amplitudes reach the encoder: the running statistics are of all ECGs, not of one.
    """

    AXES: ClassVar[dict[str, Axes]] = {"kernels": (None, None, None)}

    def __init__(self, config: S4Shape, key: Array):
        kernels, norms, n_in = [], [], config.leads
        for i, (width, kernel, _) in enumerate(config.conv_layers):
            shape = (kernel, n_in, width)
            drawn = uniform_fan_in(jax.random.fold_in(key, i), shape, kernel * n_in)
            kernels.append(nnx.Param(drawn))
            norms.append(BatchNorm(width, NORM_MOMENTUM, groups=1))
            n_in = width
        self.kernels = nnx.List(kernels)
        self.norms = nnx.List(norms)
        self.strides = tuple(layer.stride for layer in config.conv_layers)

    def __call__(self, signal: Array, training: bool) -> Array:
        """(B, T, L) -> (B, N, C); in training by the statistics of the batch, which are kept."""
        x = signal
        for kernel, norm, stride in zip(self.kernels, self.norms, self.strides, strict=True):
            x = rows_split(jax.nn.relu(norm(convolve(x, kernel[...], stride), training)))
        return x


def convolve(x: Array, kernel: Array, stride: int) -> Array:
    """Convolution over time with (K - 1) // 2 zeros on both sides, (B, T, I) with (K, I, O)."""
    taps = len(kernel)
    if taps == stride == 1:  # a matrix product: its gradient is faster than a convolution's on CPU
        return linear(x, kernel[0])
    return convolution(x, kernel, stride, (taps - 1) // 2)
