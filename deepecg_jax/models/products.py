"""Products of activations and parameters: collected for use, their gradients summed in float32."""

from functools import partial

import jax
import jax.numpy as jnp

from deepecg_jax.models.execution import execution
from deepecg_jax.models.grouped_kernel import grouped_kernel_slope
from deepecg_jax.models.sharding import Axes, constrained

Array = jax.Array
Padding = int | tuple[int, int]


def product(equation: str, axes: Axes, x: Array, kernel: Array) -> Array:
    """`jnp.einsum` of an activation and a parameter, in the dtype of the activation.

    Args:
        equation: ``"bnd,dh->bnh"``, for example; no index may stand in one operand alone.
        axes: logical axes of the kernel. What is stored in parts is collected for this product, in
            the dtype of ``x``, and not kept: the backward pass collects it again.
        x, kernel: the operands. The gradient of a float32 kernel is summed over rows and devices
            in float32, whatever the dtype of ``x``, and lands in the parts that store it.
    """
    return _product(equation, axes, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _product(equation: str, axes: Axes, x: Array, kernel: Array) -> Array:
    return jnp.einsum(equation, x, _collected(kernel, axes, x.dtype))


def _forward(
    equation: str, axes: Axes, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _product(equation, axes, x, kernel), (x, kernel)


def _backward(
    equation: str, axes: Axes, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    operands, out = equation.split("->")
    left, right = operands.split(",")
    to_x = jnp.einsum(f"{out},{right}->{left}", slope, _collected(kernel, axes, x.dtype))
    to_kernel = jnp.einsum(f"{left},{out}->{right}", x, slope, preferred_element_type=jnp.float32)
    return to_x, constrained(to_kernel, axes).astype(kernel.dtype)


_product.defvjp(_forward, _backward)


def _collected(kernel: Array, axes: Axes, dtype: jnp.dtype) -> Array:
    """A kernel as it is used, cast before it travels."""
    return constrained(kernel.astype(dtype), axes, used=True)


def shifted(x: Array, bias: Array | None) -> Array:
    """x + bias, a parameter that is broadcast; its gradient is summed in float32. None: ``x``."""
    return x if bias is None else _shifted(x, bias)


@jax.custom_vjp
def _shifted(x: Array, bias: Array) -> Array:
    return x + bias.astype(x.dtype)


def _shifted_forward(x: Array, bias: Array) -> tuple[Array, Array]:
    return _shifted(x, bias), bias


def _shifted_backward(bias: Array, slope: Array) -> tuple[Array, Array]:
    shape = (1,) * (slope.ndim - bias.ndim) + bias.shape
    summed = tuple(axis for axis, size in enumerate(shape) if size != slope.shape[axis])
    total = jnp.sum(slope.astype(jnp.float32), summed).reshape(bias.shape)
    return slope, constrained(total, (None,) * bias.ndim).astype(bias.dtype)


_shifted.defvjp(_shifted_forward, _shifted_backward)


def linear(x: Array, kernel: Array, axes: Axes = (None, None)) -> Array:
    """x W over the last axis, (..., in) -> (..., out), in the dtype of ``x``.

    axes: logical axes of the kernel.
    Where it suits the platform the leading axes are folded into one.
    """
    if execution().folded:
        rows = product("rd,dh->rh", axes, x.reshape(-1, x.shape[-1]), kernel)
        return rows.reshape(*x.shape[:-1], kernel.shape[-1])
    letters = "abcn"[: x.ndim - 1]
    return product(f"{letters}d,dh->{letters}h", axes, x, kernel)


def affine(x: Array, kernel: Array, bias: Array | None, axes: Axes = (None, None)) -> Array:
    """x W + b, see `linear`; x W where ``bias`` is None."""
    return shifted(linear(x, kernel, axes), bias)


def convolution(x: Array, kernel: Array, stride: int, padding: Padding = 0) -> Array:
    """Convolution over time, (B, T, I) with (K, I / G, O) -> (B, T', O), in the dtype of ``x``.

    A kernel of fewer channels than ``x`` makes G groups: each G-th of the outputs sees its G-th of
    the inputs.

    padding: zeros on both sides, or on the left and on the right. The gradient of the kernel is
        summed in float32, as of `product`.
    """
    edges = (padding, padding) if isinstance(padding, int) else padding
    return _convolution(stride, edges, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolution(stride: int, edges: tuple[int, int], x: Array, kernel: Array) -> Array:
    return _convolved(stride, edges, x, kernel.astype(x.dtype))


def _convolution_forward(
    stride: int, edges: tuple[int, int], x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _convolution(stride, edges, x, kernel), (x, kernel)


def _convolution_backward(
    stride: int, edges: tuple[int, int], kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    convolved = partial(_convolved, stride, edges)
    (to_x,) = jax.linear_transpose(lambda y: convolved(y, kernel.astype(x.dtype)), x)(slope)
    if kernel.shape[1] == x.shape[2]:
        wide = jax.ShapeDtypeStruct(kernel.shape, jnp.float32)
        transposed = jax.linear_transpose(lambda k: convolved(x.astype(jnp.float32), k), wide)
        (to_kernel,) = transposed(slope.astype(jnp.float32))
    else:
        to_kernel = grouped_kernel_slope(x, slope, kernel.shape, stride, edges[0])
    return to_x, constrained(to_kernel, (None,) * kernel.ndim).astype(kernel.dtype)


_convolution.defvjp(_convolution_forward, _convolution_backward)


def _convolved(stride: int, edges: tuple[int, int], x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride,),
        [edges],
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=x.shape[2] // kernel.shape[1],
    )
