"""Batch normalisation whose running statistics are state, not parameters."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

Array = jax.Array
Normed = tuple[Array, Array, Array]  # normalised, mean, variance
Kept = tuple[Array, Array, Array, Array]  # input, mean, 1 / deviation, scale
EPSILON = 1e-5  # PyTorch's default, which the published weights were trained with

# of the config of a family that has these norms
NormMomentum = Annotated[
    float,
    Field(gt=0, le=1, description="share of the newest batch in the running mean and variance"),
]
NormGroups = Annotated[
    int,
    Field(
        ge=1,
        description="equal parts of the batch that are normalised on their own; 1: statistics of "
        "the global batch, on all devices together; a multiple of mesh.data x mesh.fsdp: each "
        "device by itself",
    ),
]


def check_groups(groups: int, size: int) -> None:
    """ValueError if the groups of the norms do not divide a batch of ``size``."""
    if size % groups:
        raise ValueError(
            f"model.norm_groups={groups} must divide train.global_batch / "
            f"train.accumulation = {size}"
        )


class BatchNorm(nnx.Module):
    """Zero mean and unit variance of each channel over batch and time (Ioffe and Szegedy 2015).

    Under `jax.jit` on a mesh the batch is one global array, so its mean is the mean over all
    devices: synchronised batch normalisation without a collective in this code. ``groups`` > 1
    normalises that many equal parts of the batch on their own (ghost batch normalisation, Hoffer
    et al. 2017); their statistics are averaged in the running ones.
    """

    def __init__(self, width: int, momentum: float, groups: int):
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((width,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones((width,), jnp.float32))
        self.momentum = momentum
        self.groups = groups

    def __call__(self, x: Array, training: bool) -> Array:
        """(B, T, C) -> (B, T, C), in the dtype of ``x``; statistics in float32.

        training: normalise by the batch and update the running statistics (variance with n - 1
        in the denominator, as PyTorch keeps it); otherwise normalise by the running statistics.
        """
        if not training:
            factor = self.scale[...] * jax.lax.rsqrt(self.variance[...] + EPSILON)
            offset = self.bias[...] - self.mean[...] * factor
            return x * factor.astype(x.dtype) + offset.astype(x.dtype)
        if x.shape[0] % self.groups:
            raise ValueError(f"norm_groups={self.groups} must divide the batch of {x.shape[0]}")
        grouped = x.reshape(self.groups, -1, *x.shape[1:])
        normed, mean, variance = normalise(grouped, self.scale[...], self.bias[...])
        count = grouped.shape[1] * grouped.shape[2]
        self._update(mean.mean((0, 1, 2)), variance.mean((0, 1, 2)) * (count / max(count - 1, 1)))
        return normed.reshape(x.shape)

    def _update(self, mean: Array, variance: Array) -> None:
        for running, new in ((self.mean, mean), (self.variance, variance)):
            old = running[...]
            running.set_value(old + self.momentum * (new - old))


@jax.custom_vjp
def normalise(x: Array, scale: Array, bias: Array) -> Normed:
    """Normalise (G, B / G, T, C) over the middle axes; also the mean and the biased variance.

    The two statistics are float32 and carry no gradient: they only go into the running ones. The
    gradient is written out (Ioffe and Szegedy 2015, section 3): it keeps ``x`` alone, where
    differentiating the lines below would keep centred and normalised arrays too.
    """
    return _forward(x, scale, bias)[0]


def _forward(x: Array, scale: Array, bias: Array) -> tuple[Normed, Kept]:
    wide = x.astype(jnp.float32)
    mean = wide.mean((1, 2), keepdims=True)  # (G, 1, 1, C)
    centred = wide - mean
    variance = jnp.mean(centred * centred, (1, 2), keepdims=True)
    inverse = jax.lax.rsqrt(variance + EPSILON)
    normed = (centred * (inverse * scale) + bias).astype(x.dtype)
    return (normed, mean, variance), (x, mean, inverse, scale)


def _backward(kept: Kept, slopes: Normed) -> tuple[Array, Array, Array]:
    x, mean, inverse, scale = kept
    slope = slopes[0].astype(jnp.float32)
    normed = (x.astype(jnp.float32) - mean) * inverse
    to_bias = slope.mean((1, 2), keepdims=True)
    to_scale = jnp.mean(slope * normed, (1, 2), keepdims=True)
    count = x.shape[1] * x.shape[2]
    to_x = (scale * inverse) * (slope - to_bias - normed * to_scale)
    return to_x.astype(x.dtype), count * to_scale.sum((0, 1, 2)), count * to_bias.sum((0, 1, 2))


normalise.defvjp(_forward, _backward)
