"""The stem: each patch of the signal becomes a vector, by one product."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.products import affine
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.models.vit.shape import ViTShape

Array = jax.Array


class PatchStem(nnx.Module):
    """Patches next to each other, (B, T, L) -> (B, N, D): a convolution as long as its stride.

    All leads of a span together, N = T // S; or each lead by itself with the same kernel, N = L (T
    // S), lead by lead. The T % S last samples are left out.
    """

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None, None)}

    def __init__(self, config: ViTShape, deviation: float, key: Array):
        self.per_lead = config.patches == "per_lead"
        leads = 1 if self.per_lead else config.leads
        shape = (config.patch_samples, leads, config.width)
        self.kernel = nnx.Param(deviation * jax.random.normal(key, shape))
        self.bias = nnx.Param(jnp.zeros((config.width,), jnp.float32)) if config.biases else None

    def __call__(self, signal: Array) -> Array:
        """(B, T, L) -> (B, N, D), in the dtype of the signal."""
        rows, time, leads = signal.shape
        samples, together, width = self.kernel.shape
        n = time // samples
        spans = signal[:, : n * samples]
        if self.per_lead:
            spans = spans.transpose(0, 2, 1)
        patches = spans.reshape(rows, leads // together * n, samples * together)
        kernel = self.kernel[...].reshape(samples * together, width)
        bias = None if self.bias is None else self.bias[...]
        return affine(rows_split(patches), kernel, bias)
