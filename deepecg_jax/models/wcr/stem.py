"""The convolutional stem: raw signal to one feature vector every 16 samples (by default)."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import LAYER_NORM_EPSILON, gelu
from deepecg_jax.models.products import convolution, linear, shifted
from deepecg_jax.models.wcr.shape import WCRShape

Array = jax.Array


class ConvStem(nnx.Module):
    """Convolutions with GELU; the first is normalised per record and channel over time.

    That normalisation (GroupNorm with one channel a group) removes each channel's scale, so the
    encoder sees relative, not absolute, amplitudes of the first layer's filters.
    """

    AXES: ClassVar[dict[str, Axes]] = {"kernels": (None, None, None)}

    def __init__(self, config: WCRShape, key: Array):
        kernels, biases = [], []
        n_in = config.leads
        for i, (width, kernel, _) in enumerate(config.conv_layers):
            # He et al. 2015: N(0, 2 / fan_in)
            deviation = math.sqrt(2.0 / (n_in * kernel))
            shape = (kernel, n_in, width)
            kernels.append(
                nnx.Param(deviation * jax.random.normal(jax.random.fold_in(key, i), shape))
            )
            if config.conv_bias:
                bound = 1.0 / math.sqrt(n_in * kernel)
                bias_key = jax.random.fold_in(key, 100 + i)
                biases.append(
                    nnx.Param(jax.random.uniform(bias_key, (width,), minval=-bound, maxval=bound))
                )
            n_in = width
        self.kernels = nnx.List(kernels)
        self.biases = nnx.List(biases)
        first = config.conv_layers[0].width
        self.norm_scale = nnx.Param(jnp.ones((first,), jnp.float32))
        self.norm_bias = nnx.Param(jnp.zeros((first,), jnp.float32))
        self.strides = tuple(layer.stride for layer in config.conv_layers)

    def __call__(self, signal: Array) -> Array:
        """(B, T, L) -> (B, N, C)."""
        x = signal
        for i, stride in enumerate(self.strides):
            x = convolve(x, self.kernels[i][...], stride)
            if self.biases:
                x = shifted(x, self.biases[i][...])
            if i == 0:
                x = channel_norm(x, self.norm_scale[...], self.norm_bias[...])
            x = gelu(x)
        return x


def convolve(x: Array, kernel: Array, stride: int) -> Array:
    """Valid convolution over time, (B, T, I) with (K, I, O) -> (B, (T - K) // stride + 1, O).

    Where the kernel is as long as the stride the windows do not overlap, so it is a reshape and
    one matrix product: much faster than a convolution on CPU, and it fills the MXU on TPU.
    """
    taps, n_in, n_out = kernel.shape
    if taps != stride:
        return convolution(x, kernel, stride)
    n = x.shape[1] // stride
    windows = x[:, : n * stride].reshape(x.shape[0], n, stride * n_in)
    return linear(windows, kernel.reshape(stride * n_in, n_out))


def channel_norm(x: Array, scale: Array, bias: Array) -> Array:
    """Zero mean and unit (biased) variance over time of each channel of each record."""
    wide = x.astype(jnp.float32)
    mean = wide.mean(1, keepdims=True)
    centred = wide - mean
    variance = jnp.mean(centred * centred, 1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON) * scale + bias).astype(x.dtype)
