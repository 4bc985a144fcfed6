"""Convolutions over time, zero-padded by half a kernel on both sides as in PyTorch."""

from functools import partial

import jax
import jax.numpy as jnp

from deepecg_jax.models.products import convolution, linear

Array = jax.Array


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Dense convolution, (B, T, I) with (K, I, O) -> (B, ceil(T / stride), O); K odd."""
    taps = kernel.shape[0]
    if taps == stride == 1:  # a matrix product: its gradient is faster than a convolution's on CPU
        return linear(x, kernel[0])
    return convolution(x, kernel, stride, taps // 2)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_depthwise(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Each channel with its own filter, (B, T, C) with (K, C) -> (B, ceil(T / stride), C); K odd.

    A sum of K shifted multiples, K being 3 or 5: one pass over memory, where the grouped
    convolution of XLA:CPU takes 10 to 50 times as long.
    """
    return _correlate(_padded(x, kernel), kernel, stride)


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    # padded input and output are kept: fused into what reads them, they would be computed again
    # for each tap
    padded = jax.lax.optimization_barrier(_padded(x, kernel))
    return jax.lax.optimization_barrier(_correlate(padded, kernel, stride)), (padded, kernel)


def _backward(stride: int, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """Sums of shifted multiples again: of the slope for the input, of both for the kernel."""
    padded, kernel = kept
    pad = kernel.shape[0] // 2
    # zeros between the strides, up to the length of the input, and half a kernel on both sides
    rest = padded.shape[1] - 2 * pad - 1 - (slope.shape[1] - 1) * stride
    edges = ((0, 0, 0), (pad, rest + pad, stride - 1), (0, 0, 0))
    spread = jax.lax.optimization_barrier(jax.lax.pad(slope, jnp.zeros((), slope.dtype), edges))
    to_input = _correlate(spread, kernel[::-1], 1)
    slope = jax.lax.slice_in_dim(spread, pad, spread.shape[1] - pad - rest, stride, axis=1)
    wide = slope.astype(jnp.float32)
    taps = [jnp.sum(piece * wide, (0, 1)) for piece in _shifted(padded, kernel.shape[0], stride)]
    return to_input, jnp.stack(taps).astype(kernel.dtype)


convolve_depthwise.defvjp(_forward, _backward)


def _padded(x: Array, kernel: Array) -> Array:
    pad = kernel.shape[0] // 2
    return jnp.pad(x, ((0, 0), (pad, pad), (0, 0)))


def _correlate(padded: Array, kernel: Array, stride: int) -> Array:
    """The convolution without padding."""
    kernel = kernel.astype(padded.dtype)
    total = jnp.zeros((), padded.dtype)
    for tap, piece in enumerate(_shifted(padded, kernel.shape[0], stride)):
        total = total + piece * kernel[tap]
    return total


def _shifted(padded: Array, taps: int, stride: int) -> list[Array]:
    """What each of K taps sees, (B, T + K - 1, C) -> K times (B, ceil(T / stride), C)."""
    span = (padded.shape[1] - taps) // stride * stride + 1
    return [jax.lax.slice_in_dim(padded, tap, tap + span, stride, axis=1) for tap in range(taps)]
