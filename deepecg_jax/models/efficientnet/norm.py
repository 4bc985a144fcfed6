"""Batch normalisation whose running statistics are state, not parameters."""

import jax
import jax.numpy as jnp
from flax import nnx

Array = jax.Array
EPSILON = 1e-5  # PyTorch's default, which the published weights were trained with


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
        grouped = x.reshape(self.groups, -1, *x.shape[1:]).astype(jnp.float32)
        mean = grouped.mean((1, 2), keepdims=True)  # (G, 1, 1, C)
        centred = grouped - mean
        variance = jnp.mean(centred * centred, (1, 2), keepdims=True)
        normed = centred * (jax.lax.rsqrt(variance + EPSILON) * self.scale[...]) + self.bias[...]
        count = grouped.shape[1] * grouped.shape[2]
        self._update(mean.mean((0, 1, 2)), variance.mean((0, 1, 2)) * (count / max(count - 1, 1)))
        return normed.reshape(x.shape).astype(x.dtype)

    def _update(self, mean: Array, variance: Array) -> None:
        for running, new in ((self.mean, mean), (self.variance, variance)):
            old = running[...]
            running.set_value(old + self.momentum * (jax.lax.stop_gradient(new) - old))
