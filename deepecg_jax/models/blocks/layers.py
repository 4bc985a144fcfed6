"""Building blocks that every encoder shares; all act on the last axis and keep shapes static."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.products import affine, linear

Array = jax.Array
LAYER_NORM_EPSILON = 1e-5  # PyTorch's default, which the published weights were trained with


def gelu(x: Array) -> Array:
    """Exact (erf) GELU, x Phi(x); the tanh form differs by 4e-4.

    `jax.nn.gelu` writes it with erfc, which takes twice as long on CPU.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * (1.0 / math.sqrt(2.0))))


def layer_norm(
    x: Array, scale: Array, bias: Array | None, epsilon: float = LAYER_NORM_EPSILON
) -> Array:
    """Layer normalisation over the last axis, statistics in float32 whatever the dtype of ``x``.

    bias: None adds none.
    """
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    centred = wide - mean
    variance = jnp.mean(centred * centred, -1, keepdims=True)
    normed = centred * jax.lax.rsqrt(variance + epsilon) * scale
    return (normed if bias is None else normed + bias).astype(x.dtype)


def with_hidden(x: Array, hidden: Array | None, embedding: Array) -> Array:
    """Tokens whose hidden ones are replaced by a learned vector, (B, N, D) -> (B, N, D).

    hidden: (B, N) bool, true where a token is replaced, or None. embedding: (D,).
    """
    if hidden is None:
        return x
    # as a product, so that its gradient is summed as those of other parameters are
    chosen = hidden[..., None].astype(x.dtype)
    return jnp.where(hidden[..., None], linear(chosen, embedding[None]), x)


def uniform_fan_in(key: Array, shape: tuple[int, ...], fan_in: int) -> Array:
    """PyTorch's default initialisation of linear and convolution layers, U(+-1/sqrt(fan_in))."""
    bound = 1.0 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


class Norm(nnx.Module):
    """Layer normalisation with scale and bias (or without) of width D."""

    def __init__(self, width: int, bias: bool = True, epsilon: float = LAYER_NORM_EPSILON):
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32)) if bias else None
        self.epsilon = epsilon

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        bias = None if self.bias is None else self.bias[...]
        return layer_norm(x, self.scale[...], bias, self.epsilon)


class Linear(nnx.Module):
    """y = x W + b with W (in, out); computes in the dtype of ``x``."""

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None)}

    def __init__(self, kernel: Array, bias: Array):
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(bias)

    @classmethod
    def torch_default(cls, n_in: int, n_out: int, key: Array) -> "Linear":
        """Weight and bias from U(+-1/sqrt(n_in))."""
        weight_key, bias_key = jax.random.split(key)
        return cls(
            uniform_fan_in(weight_key, (n_in, n_out), n_in),
            uniform_fan_in(bias_key, (n_out,), n_in),
        )

    @classmethod
    def xavier(cls, n_in: int, n_out: int, key: Array) -> "Linear":
        """Weight from U(+-sqrt(6/(in+out))) (Glorot and Bengio 2010), bias zero."""
        bound = math.sqrt(6.0 / (n_in + n_out))
        kernel = jax.random.uniform(key, (n_in, n_out), jnp.float32, -bound, bound)
        return cls(kernel, jnp.zeros((n_out,), jnp.float32))

    def __call__(self, x: Array) -> Array:
        """(..., in) -> (..., out)."""
        return affine(x, self.kernel[...], self.bias[...])


def as_dtype(name: str) -> DTypeLike:
    """``float32`` or ``bfloat16`` as a dtype."""
    return {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[name]
