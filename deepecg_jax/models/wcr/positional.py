"""Convolutional relative position (wav2vec 2.0), computed in the frequency domain."""

import functools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import gelu
from deepecg_jax.models.products import product, shifted

Array = jax.Array


class PositionalConv(nnx.Module):
    """GELU of a grouped convolution over ``taps`` tokens, with weight normalisation a tap.

    The kernel is ``gain * direction / |direction|``, the norm taken over both channel axes, so one
    scalar a tap. Direct evaluation costs taps x D x D/groups products a token and XLA's grouped
    convolution is slow on CPU. Only some 80 to 160 tokens exist, so the convolution is a product
    in the frequency domain, and both transforms are small constant matrix products: 10 to 20 times
    fewer operations, all of them matrix products.
    """

    AXES: ClassVar[dict[str, Axes]] = {"direction": (None, None, "width")}

    def __init__(self, width: int, taps: int, groups: int, key: Array):
        deviation = math.sqrt(4.0 / (taps * width))
        direction = deviation * jax.random.normal(key, (taps, width // groups, width))
        self.direction = nnx.Param(direction)  # (K, D / groups, D)
        self.gain = nnx.Param(jnp.sqrt(jnp.sum(direction**2, axis=(1, 2))))  # (K,)
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.groups = groups

    def kernel(self) -> Array:
        """Weight-normalised kernel (K, D / groups, D)."""
        direction = self.direction[...]
        norm = jnp.sqrt(jnp.sum(direction**2, axis=(1, 2), keepdims=True))
        return self.gain[...][:, None, None] * direction / norm

    def __call__(self, x: Array) -> Array:
        """(B, N, D) -> (B, N, D); zero padding of K // 2 tokens on the left."""
        y = grouped_convolution(x, self.kernel(), self.groups, self.AXES["direction"])
        return gelu(shifted(y, self.bias[...]))


def grouped_convolution(
    x: Array, kernel: Array, groups: int, axes: Axes = (None, None, None)
) -> Array:
    """y[t] = sum_j kernel[j] x[t + j - K // 2] within each channel group, (B, N, D) -> (B, N, D).

    axes: logical axes of the kernel.
    Equal to PyTorch's ``Conv1d(D, D, K, padding=K // 2, groups=groups)`` without its last output
    where K is even.
    """
    batch, n, width = x.shape
    taps = kernel.shape[0]
    size = width // groups
    bases = fourier_bases(n, taps)  # (n, 2F), (taps, 2F), (2F, n)
    token_basis, inverse = (jnp.asarray(bases[i], x.dtype) for i in (0, 2))
    # the kernel's spectrum is a parameter's like: float32, and rounded where it is used
    tap_basis = jnp.asarray(bases[1], jnp.promote_types(x.dtype, kernel.dtype))
    n_bins = token_basis.shape[1] // 2
    # real and imaginary parts side by side: a complex product is one real product twice as wide
    spectrum = jnp.einsum("bnd,nf->fbd", x, token_basis).reshape(2, n_bins, batch, groups, size)
    response = product("kf,kio->fio", axes, tap_basis, kernel)
    response = response.reshape(2, n_bins, size, groups, size)
    left = jnp.concatenate([spectrum[0], spectrum[1]], -1)  # (F, B, g, 2i)
    real = jnp.concatenate([response[0], -response[1]], 1)  # (F, 2i, g, o)
    imaginary = jnp.concatenate([response[1], response[0]], 1)
    right = jnp.stack([real, imaginary], -2)  # (F, 2i, g, 2, o)
    mixed = product("fbgi,figco->cfbgo", (None,) * 5, left, right)
    return jnp.einsum("fbd,fn->bnd", mixed.reshape(2 * n_bins, batch, width), inverse)


@functools.cache
def fourier_bases(n: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real discrete Fourier matrices of the tokens and the taps, and the inverse.

    The transform is long enough (n plus the reach of the kernel) that wrapped products never
    reach an output. Taps that no pair of tokens can meet get zero rows.
    """
    before = taps // 2
    offsets = np.arange(taps) - before
    reachable = np.abs(offsets) < n
    length = n + min(n - 1, max(before, taps - 1 - before))
    bins = np.arange(length // 2 + 1)
    token_phase = 2 * np.pi * np.outer(np.arange(n), bins) / length
    # a correlation: the kernel's spectrum is conjugated
    tap_phase = -2 * np.pi * np.outer(offsets, bins) / length
    tokens = np.concatenate([np.cos(token_phase), -np.sin(token_phase)], 1)
    tap_rows = np.concatenate([np.cos(tap_phase), -np.sin(tap_phase)], 1) * reachable[:, None]
    weight = np.full(len(bins), 2.0)
    weight[0] = 1.0
    if length % 2 == 0:
        weight[-1] = 1.0
    weight /= length
    inverse = np.concatenate(
        [weight[:, None] * np.cos(token_phase.T), -weight[:, None] * np.sin(token_phase.T)], 0
    )
    return tokens, tap_rows, inverse
