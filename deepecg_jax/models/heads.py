"""Classification heads on what an encoder gives, and the classifier that joins both."""

import math
from typing import ClassVar, Literal, Self

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field, model_validator

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layers import Linear, Norm, gelu, uniform_fan_in
from deepecg_jax.models.encoder import Encoder, EncoderConfig, Features, Tokens
from deepecg_jax.models.products import linear
from deepecg_jax.models.readouts import MEAN, READOUTS, read_out, readout_width
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.settings import Settings

Array = jax.Array
_POOLING_HEADS = 16  # of the benchmark


class HeadConfig(Settings):
    """The classifier on top of the encoder."""

    kind: Literal["linear", "attention", "attention_pool"] = Field(
        default="linear",
        description="linear: of one vector an ECG (readout); attention: of a learned query's view "
        "of the tokens, with norms and an MLP; attention_pool: of such a view alone",
    )
    readout: str = Field(
        default=MEAN,
        description="kind=linear: the vector, mean, mean_max, mean_local, mean_max_local (mean and "
        "maximum of the tokens, local: also of the features before any context) or summary (CLS)",
    )
    heads: int | None = Field(
        default=None,
        ge=1,
        description="attention heads; null: of attention those of the encoder, of attention_pool "
        "16, or what divides the width",
    )
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="in training, before the last layer"
    )

    @model_validator(mode="after")
    def _readout_fits(self) -> Self:
        if self.readout not in READOUTS:
            raise ValueError(f"readout={self.readout} is none; there are {', '.join(READOUTS)}")
        if self.kind != "linear" and self.readout != MEAN:
            raise ValueError(
                f"readout={self.readout} goes with kind=linear; kind={self.kind} looks at the "
                "tokens themselves"
            )
        return self

    def completed(self, model: EncoderConfig) -> "HeadConfig":
        """The same with its number of attention heads, for an encoder."""
        pooling = self.kind == "attention_pool"
        default = math.gcd(model.width, _POOLING_HEADS) if pooling else model.attention_heads
        return self.model_copy(update={"heads": self.heads or default})


class LinearHead(nnx.Module):
    """A readout, then one linear layer: (B, N, D) -> (B, labels)."""

    def __init__(
        self, width: int, labels: int, key: Array, dropout: float = 0.0, readout: str = MEAN
    ):
        self.projection = Linear.xavier(width, labels, key)
        self.dropout = dropout
        self.readout = readout

    def __call__(self, features: Features, tokens: Tokens, key: Array | None = None) -> Array:
        """Logits, float32."""
        return self.classified(read_out(self.readout, features, tokens), key)

    def classified(self, vectors: Array, key: Array | None = None) -> Array:
        """Logits of what was read out before, (B, W) -> (B, labels), float32."""
        return self.projection(dropout(vectors, self.dropout, key))


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

    def __call__(self, features: Features, tokens: Tokens, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, labels), float32."""
        del features
        values = tokens.tokens.astype(jnp.float32)
        batch, n, width = values.shape
        size = width // self.heads
        query = self.to_query(self.query[...]).reshape(self.heads, size) * size**-0.5
        pair = self.to_key_value(self.token_norm(values)).reshape(batch, n, 2, self.heads, size)
        pooled = _looked(query, pair[:, :, 0], pair[:, :, 1], tokens.padding)
        x = self.query[...] + self.to_out(pooled)
        x = x + self.down(gelu(self.up(self.mlp_norm(x))))
        return self.projection(dropout(x, self.dropout, key))


class AttentionPoolHead(nnx.Module):
    """One learned query attends to the tokens, and its output projection classifies.

    The head on frozen encoders of the ICLR 2026 benchmark of ECG foundation models: the query
    starts as randn / sqrt(D), the four linear layers have no bias and PyTorch's default
    initialisation, and there is no norm. Scores are q k / sqrt(D / heads).
    """

    AXES: ClassVar[dict[str, Axes]] = {
        name: (None, None) for name in ("to_query", "to_key", "to_value", "projection")
    }

    def __init__(self, width: int, heads: int, labels: int, key: Array, dropout: float = 0.0):
        keys = jax.random.split(key, 5)
        self.query = nnx.Param(jax.random.normal(keys[0], (width,)) * width**-0.5)
        self.to_query = nnx.Param(uniform_fan_in(keys[1], (width, width), width))
        self.to_key = nnx.Param(uniform_fan_in(keys[2], (width, width), width))
        self.to_value = nnx.Param(uniform_fan_in(keys[3], (width, width), width))
        self.projection = nnx.Param(uniform_fan_in(keys[4], (width, labels), width))
        self.heads = heads
        self.dropout = dropout

    def __call__(self, features: Features, tokens: Tokens, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, labels), float32."""
        del features
        values = tokens.tokens.astype(jnp.float32)
        batch, n, width = values.shape
        size = width // self.heads
        by_head = (batch, n, self.heads, size)
        query = linear(self.query[...], self.to_query[...]).reshape(self.heads, size) * size**-0.5
        keys = rows_split(linear(values, self.to_key[...]).reshape(by_head))
        looked_at = rows_split(linear(values, self.to_value[...]).reshape(by_head))
        pooled = _looked(query, keys, looked_at, tokens.padding)
        return linear(dropout(pooled, self.dropout, key), self.projection[...])


Head = LinearHead | AttentionHead | AttentionPoolHead


def _looked(query: Array, keys: Array, values: Array, padding: Array | None) -> Array:
    """What one query sees, (H, D/H) with keys and values (B, N, H, D/H) -> (B, D)."""
    logits = jnp.einsum("hd,bnhd->bhn", query, keys)
    if padding is not None:
        logits = jnp.where(padding[:, None, :], -1e30, logits)
    weights = jax.nn.softmax(logits, -1)
    seen = jnp.einsum("bhn,bnhd->bhd", weights, values)
    # not len(): an export leaves the number of ECGs open
    return seen.reshape(seen.shape[0], seen.shape[1] * seen.shape[2])


class Classifier(nnx.Module):
    """Encoder and head: signal to logits."""

    def __init__(self, encoder: Encoder, head: Head):
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
        features = self.encoder.features(
            signal, valid_samples=valid_samples, gradient=feature_gradient, key=encoder_key
        )
        return self.head(features, self.encoder.context(features, key=encoder_key), head_key)


def build_head(config: HeadConfig, model: EncoderConfig, labels: int, key: Array) -> Head:
    """The head that ``config`` describes, on an encoder."""
    if config.kind == "linear":
        width = readout_width(config.readout, model)
        return LinearHead(width, labels, key, config.dropout, config.readout)
    kind = AttentionHead if config.kind == "attention" else AttentionPoolHead
    heads = config.completed(model).heads
    assert heads is not None
    return kind(model.width, heads, labels, key, config.dropout)
