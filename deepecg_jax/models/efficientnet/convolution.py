"""Convolutions over time, zero-padded by half a kernel on both sides as in PyTorch."""

from functools import partial

import jax
import jax.numpy as jnp

Array = jax.Array


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Dense convolution, (B, T, I) with (K, I, O) -> (B, ceil(T / stride), O); K odd."""
    kernel = kernel.astype(x.dtype)
    taps = kernel.shape[0]
    if taps == stride == 1:  # a matrix product: its gradient is faster than a convolution's on CPU
        return (x.reshape(-1, x.shape[-1]) @ kernel[0]).reshape(*x.shape[:-1], -1)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,), [(taps // 2, taps // 2)], dimension_numbers=("NWC", "WIO", "NWC")
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_depthwise(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Each channel with its own filter, (B, T, C) with (K, C) -> (B, ceil(T / stride), C); K odd.

    A sum of K shifted multiples, K being 3 or 5: one pass over memory, where the grouped
    convolution of XLA:CPU takes 10 to 50 times as long.
    """
    kernel = kernel.astype(x.dtype)
    total = jnp.zeros((), x.dtype)
    for tap, shifted in enumerate(_shifted(x, kernel.shape[0], stride)):
        total = total + shifted * kernel[tap]
    return total


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    # input and output are kept: fused into what reads them, they would be computed several times
    x = jax.lax.optimization_barrier(x)
    return jax.lax.optimization_barrier(convolve_depthwise(x, kernel, stride)), (x, kernel)


def _backward(stride: int, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """Sums of shifted multiples again, for which ``slope`` is read 2 K times.

    So it is computed first, by the barrier: fused into them, the whole chain that it comes from
    would be computed 2 K times.
    """
    x, kernel = kept
    slope = jax.lax.optimization_barrier(slope)
    wide = slope.astype(jnp.float32)
    taps = [jnp.sum(piece * wide, (0, 1)) for piece in _shifted(x, kernel.shape[0], stride)]
    # zeros between the strides, and up to the length of the input
    rest = x.shape[1] - 1 - (slope.shape[1] - 1) * stride
    spread = jax.lax.pad(
        slope, jnp.zeros((), slope.dtype), ((0, 0, 0), (0, rest, stride - 1), (0, 0, 0))
    )
    return convolve_depthwise(spread, kernel[::-1], 1), jnp.stack(taps).astype(kernel.dtype)


convolve_depthwise.defvjp(_forward, _backward)


def _shifted(x: Array, taps: int, stride: int) -> list[Array]:
    """What each tap of a kernel sees of ``x``, (B, T, C) -> K times (B, ceil(T / stride), C)."""
    pad = taps // 2
    last = (-(-x.shape[1] // stride) - 1) * stride
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0)))
    return [
        jax.lax.slice_in_dim(padded, tap, tap + last + 1, stride, axis=1) for tap in range(taps)
    ]
