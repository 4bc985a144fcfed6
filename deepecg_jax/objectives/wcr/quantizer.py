"""Product quantizer with straight-through Gumbel-softmax (Jang 2017; wav2vec 2.0)."""

import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import Linear

Array = jax.Array


class Quantized(NamedTuple):
    """Quantized vectors and the usage of the codebook."""

    vectors: Array  # (B, M, d) float32
    codes: Array  # (B, M, G) int32
    probability_perplexity: Array  # scalar, sum over groups, of the mean softmax
    code_perplexity: Array  # scalar, the same of the chosen codes


class GumbelQuantizer(nnx.Module):
    """Chooses one of V codewords in each of G groups; the vector is their concatenation.

    Args:
        features: width C of what is quantized.
        groups, words: G and V.
        code_dim: width d of a quantized vector, a multiple of G.
        key: initial weights.
    """

    AXES: ClassVar[dict[str, Axes]] = {"codebook": (None, None, None)}

    def __init__(self, features: int, groups: int, words: int, code_dim: int, key: Array):
        book_key, logit_key = jax.random.split(key)
        self.codebook = nnx.Param(jax.random.uniform(book_key, (groups, words, code_dim // groups)))
        self.logits = Linear(
            jax.random.normal(logit_key, (features, groups * words)),
            jnp.zeros((groups * words,), jnp.float32),
        )

    def __call__(
        self, features: Array, temperature: Array | float, gumbel: Array | None
    ) -> Quantized:
        """Quantize, (B, M, C) -> vectors (B, M, d).

        gumbel: (B, M, G, V) Gumbel noise (training: the choice is the argmax of logits + noise,
            with the gradient of the softmax at ``temperature``), or None (evaluation: argmax of
            the logits, no gradient to them).
        Perplexities ignore noise and temperature, as in the original.
        """
        batch, n, _ = features.shape
        groups, words, size = self.codebook[...].shape
        with jax.default_matmul_precision("highest"):  # they decide which codeword it is
            logits = self.logits(features.astype(jnp.float32))
        logits = logits.reshape(batch, n, groups, words)
        if gumbel is None:
            codes = jnp.argmax(logits, -1)
            vectors = _lookup(self.codebook[...], codes)
        else:
            noisy = logits + gumbel
            codes = jnp.argmax(noisy, -1)
            soft = jax.nn.softmax(noisy / temperature, -1)
            vectors = _straight_through(self.codebook[...], soft, codes)
        probabilities = jax.nn.softmax(logits, -1).mean((0, 1))
        hard = jax.nn.one_hot(jnp.argmax(logits, -1), words).mean((0, 1))
        return Quantized(
            vectors.reshape(batch, n, groups * size),
            codes.astype(jnp.int32),
            _perplexity(probabilities),
            jax.lax.stop_gradient(_perplexity(hard)),
        )


def gumbel_noise(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard Gumbel noise, always finite (-log of an exponential draw is infinite at zero)."""
    return jax.random.gumbel(key, shape)


def gumbel_temperature(step: Array | int, start: float, end: float, decay: float) -> Array:
    """max(start * decay**step, end), ``step`` counting finished optimizer updates."""
    # the logarithm in Python's double: float32(0.999995) is off by 1e-4 after 20,000 powers
    return jnp.maximum(start * jnp.exp(step * math.log(decay)), end)


def _perplexity(probabilities: Array) -> Array:
    """sum over groups of exp(entropy), (G, V) -> scalar."""
    entropy = -jnp.sum(probabilities * jnp.log(probabilities + 1e-7), -1)
    return jnp.sum(jnp.exp(entropy))


def _lookup(codebook: Array, codes: Array) -> Array:
    """(G, V, s), (B, M, G) -> (B, M, G, s): a gather, never a product with one-hot rows."""
    return codebook[jnp.arange(codebook.shape[0]), codes]


@jax.custom_vjp
def _straight_through(codebook: Array, soft: Array, codes: Array) -> Array:
    """Forward the chosen codewords; backward as if ``soft`` had weighted the codebook."""
    return _lookup(codebook, codes)


def _forward(codebook: Array, soft: Array, codes: Array):
    return _lookup(codebook, codes), (codebook, codes)


def _backward(residuals: tuple[Array, Array], cotangent: Array):
    codebook, codes = residuals
    # a product with one-hot rows here is the transposed gather without a scatter
    chosen = jax.nn.one_hot(codes, codebook.shape[1], dtype=cotangent.dtype)
    to_codebook = jnp.einsum("bmgv,bmgs->gvs", chosen, cotangent)
    to_soft = jnp.einsum("bmgs,gvs->bmgv", cotangent, codebook)
    return to_codebook, to_soft, None


_straight_through.defvjp(_forward, _backward)
