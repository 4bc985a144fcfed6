"""The convolutional stem: raw signal to one feature vector every two samples (by default)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.batch_norm import BatchNorm
from deepecg_jax.models.layers import uniform_fan_in
from deepecg_jax.models.products import convolution, linear
from deepecg_jax.models.s4.shape import ConvLayer, S4Shape
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
        for i, layer in enumerate(config.conv_layers):
            shape = (layer.kernel, n_in, layer.width)
            drawn = uniform_fan_in(jax.random.fold_in(key, i), shape, layer.kernel * n_in)
            kernels.append(nnx.Param(drawn))
            norms.append(BatchNorm(layer.width, NORM_MOMENTUM, groups=1))
            n_in = layer.width
        self.kernels = nnx.List(kernels)
        self.norms = nnx.List(norms)
        self.layers = config.conv_layers

    def __call__(self, signal: Array, training: bool, valid: Array | None = None) -> Array:
        """(B, T, L) -> (B, N, C).

        training: normalise by the batch, padding included, and keep its statistics.
        valid: (B,) int, samples before zero padding begins, or None. Between the layers, too, zeros
            stand for what is padding, as they do beyond the end of an ECG.
        """
        x = signal
        for layer, kernel, norm in zip(self.layers, self.kernels, self.norms, strict=True):
            x = rows_split(jax.nn.relu(norm(convolve(x, kernel[...], layer), training)))
            if valid is not None:
                valid = layer.n_tokens(valid)
                x = jnp.where(jnp.arange(x.shape[1])[None, :, None] < valid[:, None, None], x, 0.0)
        return x


def convolve(x: Array, kernel: Array, layer: ConvLayer) -> Array:
    """Convolution over time, (B, T, I) with (K, I, O) -> (B, N, O)."""
    if layer.kernel == layer.stride == 1:
        # a matrix product: its gradient is faster than a convolution's on CPU
        return linear(x, kernel[0])
    return convolution(x, kernel, layer.stride, layer.padding)
