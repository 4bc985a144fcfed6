"""Classification heads on encoder tokens, and the classifier that joins both."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from deepecg_jax.models.dropout import dropout
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.layers import Linear, Norm, gelu
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.settings import Settings

Array = jax.Array


class HeadConfig(Settings):
    """The classifier on top of the encoder."""

    kind: Literal["linear", "attention"] = Field(
        default="linear",
        description="linear: of the mean token; attention: of a learned query's view of the tokens",
    )
    heads: int | None = Field(
        default=None,
        ge=1,
        description="attention heads of an attention head; null: those of the encoder",
    )
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="in training, before the last layer"
    )


class LinearHead(nnx.Module):
    """Mean over tokens, then one linear layer: (B, N, D) -> (B, labels)."""

    def __init__(self, width: int, labels: int, key: Array, dropout: float = 0.0):
        self.projection = Linear.xavier(width, labels, key)
        self.dropout = dropout

    def __call__(self, tokens: Array, padding: Array | None, key: Array | None = None) -> Array:
        """Logits, float32."""
        return self.projection(dropout(mean_pool(tokens, padding), self.dropout, key))


class AttentionHead(nnx.Module):
    """One learned query attends to the tokens, an MLP refines it, a linear layer classifies.

    The attentive probe of V-JEPA (Bardes et al. 2024) as DeepECG-SSL uses it.
    """

    def __init__(self, width: int, heads: int, labels: int, key: Array, dropout: float = 0.0):
        keys = jax.random.split(key, 7)

        def linear(key: Array, n_in: int, n_out: int) -> Linear:
            kernel = 0.02 * jax.random.truncated_normal(key, -2.0, 2.0, (n_in, n_out))
            return Linear(kernel, jnp.zeros((n_out,), jnp.float32))

        self.query = nnx.Param(0.02 * jax.random.normal(keys[0], (width,)))
        self.token_norm = Norm(width)
        self.to_query = linear(keys[1], width, width)
        self.to_key_value = linear(keys[2], width, 2 * width)
        self.to_out = linear(keys[3], width, width)
        self.mlp_norm = Norm(width)
        self.up = linear(keys[4], width, 4 * width)
        self.down = linear(keys[5], 4 * width, width)
        self.projection = Linear.xavier(width, labels, keys[6])
        self.heads = heads
        self.dropout = dropout

    def __call__(self, tokens: Array, padding: Array | None, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, labels), float32."""
        tokens = tokens.astype(jnp.float32)
        batch, n, width = tokens.shape
        size = width // self.heads
        query = self.to_query(self.query[...]).reshape(self.heads, size) * size**-0.5
        pair = self.to_key_value(self.token_norm(tokens)).reshape(batch, n, 2, self.heads, size)
        logits = jnp.einsum("hd,bnhd->bhn", query, pair[:, :, 0])
        if padding is not None:
            logits = jnp.where(padding[:, None, :], -1e30, logits)
        weights = jax.nn.softmax(logits, -1)
        pooled = jnp.einsum("bhn,bnhd->bhd", weights, pair[:, :, 1]).reshape(batch, width)
        x = self.query[...] + self.to_out(pooled)
        x = x + self.down(gelu(self.up(self.mlp_norm(x))))
        return self.projection(dropout(x, self.dropout, key))


class Classifier(nnx.Module):
    """Encoder and head: signal to logits."""

    def __init__(self, encoder: Encoder, head: LinearHead | AttentionHead):
        self.encoder = encoder
        self.head = head

    def __call__(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        feature_gradient: float = 1.0,
        key: Array | None = None,
    ) -> Array:
        """(B, T, L) millivolts -> (B, labels) logits, float32."""
        encoder_key = head_key = None
        if key is not None:
            encoder_key, head_key = jax.random.split(key)
        output = self.encoder(
            signal,
            valid_samples=valid_samples,
            feature_gradient=feature_gradient,
            key=encoder_key,
        )
        return self.head(output.tokens, output.padding, head_key)


def build_head(
    config: HeadConfig, width: int, labels: int, key: Array
) -> LinearHead | AttentionHead:
    """The head that ``config`` describes, for tokens of ``width``; attention needs its heads."""
    if config.kind == "linear":
        return LinearHead(width, labels, key, config.dropout)
    if config.heads is None:
        raise ValueError("an attention head needs its number of heads")
    return AttentionHead(width, config.heads, labels, key, config.dropout)
