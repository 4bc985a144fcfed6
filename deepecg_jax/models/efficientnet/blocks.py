"""The blocks of an EfficientNet: fused and inverted-bottleneck convolutions with a gate."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.batch_norm import BatchNorm
from deepecg_jax.models.blocks.gate import Gate
from deepecg_jax.models.blocks.layers import uniform_fan_in
from deepecg_jax.models.efficientnet.convolution import convolve, convolve_depthwise
from deepecg_jax.models.efficientnet.shape import EfficientNetShape, Stage
from deepecg_jax.models.products import shifted

Array = jax.Array
NEGATIVE_SLOPE = 0.01


def leaky_relu(x: Array) -> Array:
    """x where positive, else a hundredth of it.

    Not a maximum, whose gradient shares ties and therefore keeps several arrays.
    """
    return jnp.where(x > 0, x, NEGATIVE_SLOPE * x)


class NormedConv(nnx.Module):
    """Convolution, then batch normalisation: (B, T, I) -> (B, T', O)."""

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None, None)}

    def __init__(
        self,
        config: EfficientNetShape,
        n_in: int,
        n_out: int,
        kernel: int,
        key: Array,
        stride: int = 1,
        bias: bool = False,
    ):
        kernel_key, bias_key = jax.random.split(key)
        fan_in = kernel * n_in
        self.kernel = nnx.Param(uniform_fan_in(kernel_key, (kernel, n_in, n_out), fan_in))
        self.bias = nnx.Param(uniform_fan_in(bias_key, (n_out,), fan_in)) if bias else None
        self.norm = BatchNorm(n_out, config.norm_momentum, config.norm_groups)
        self.stride = stride

    def __call__(self, x: Array, training: bool) -> Array:
        """The normalised convolution, before any activation."""
        x = convolve(x, self.kernel[...], self.stride)
        if self.bias is not None:
            x = shifted(x, self.bias[...])
        return self.norm(x, training)


class NormedDepthwiseConv(nnx.Module):
    """The same with one filter a channel: (B, T, C) -> (B, T', C)."""

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None)}

    def __init__(self, config: EfficientNetShape, width: int, kernel: int, key: Array, stride: int):
        self.kernel = nnx.Param(uniform_fan_in(key, (kernel, width), kernel))
        self.norm = BatchNorm(width, config.norm_momentum, config.norm_groups)
        self.stride = stride

    def __call__(self, x: Array, training: bool) -> Array:
        """The normalised convolution, before any activation."""
        return self.norm(convolve_depthwise(x, self.kernel[...], self.stride), training)


class FusedBlock(nnx.Module):
    """Convolution, norm, LeakyReLU, gate; residual where the shape stays."""

    def __init__(self, config: EfficientNetShape, stage: Stage, n_in: int, stride: int, key: Array):
        keys = jax.random.split(key)
        self.conv = NormedConv(config, n_in, stage.width, stage.kernel, keys[0], stride)
        self.gate = Gate(stage.width, stage.reduction, leaky_relu, keys[1])
        self.residual = stride == 1 and n_in == stage.width
        self.stochastic_depth = config.stochastic_depth

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """(B, T, I) -> (B, T', O); ``key`` trains: batch statistics and stochastic depth."""
        y = self.gate(leaky_relu(self.conv(x, key is not None)))
        return x + drop_records(y, self.stochastic_depth, key) if self.residual else y


class InvertedBlock(nnx.Module):
    """Inverted bottleneck (Sandler et al. 2018), residual where the shape stays.

    1 x 1 expansion (absent where the expansion is 1), norm, LeakyReLU, depthwise convolution, norm,
    LeakyReLU, gate, 1 x 1 projection, norm.
    """

    def __init__(self, config: EfficientNetShape, stage: Stage, n_in: int, stride: int, key: Array):
        keys = jax.random.split(key, 4)
        inner = n_in * stage.expansion
        widens = stage.expansion > 1
        self.expand = NormedConv(config, n_in, inner, 1, keys[0]) if widens else None
        self.depthwise = NormedDepthwiseConv(config, inner, stage.kernel, keys[1], stride)
        self.gate = Gate(inner, stage.reduction, leaky_relu, keys[2])
        self.project = NormedConv(config, inner, stage.width, 1, keys[3])
        self.residual = stride == 1 and n_in == stage.width
        self.stochastic_depth = config.stochastic_depth

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """(B, T, I) -> (B, T', O); ``key`` trains: batch statistics and stochastic depth."""
        training = key is not None
        y = x if self.expand is None else leaky_relu(self.expand(x, training))
        y = self.gate(leaky_relu(self.depthwise(y, training)))
        y = self.project(y, training)
        return x + drop_records(y, self.stochastic_depth, key) if self.residual else y


BLOCKS = {"fused": FusedBlock, "mbconv": InvertedBlock}


def drop_records(x: Array, rate: float, key: Array | None) -> Array:
    """Stochastic depth (Huang et al. 2016): zero for a share ``rate`` of the records, (B, T, C).

    The survivors are divided by 1 - rate; ``key=None`` (evaluation) is the identity.
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, (x.shape[0], 1, 1))
    return x * (keep / (1.0 - rate)).astype(x.dtype)
