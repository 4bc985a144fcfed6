"""Token ids to vectors."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layers import layer_norm

Array = jax.Array


class Embeddings(nnx.Module):
    """Word, position and token-type embeddings, summed and normalised."""

    AXES: ClassVar[dict[str, Axes]] = {
        "word": (None, None),
        "position": (None, None),
        "token_type": (None, None),
    }

    def __init__(self, config: BertConfig, key: Array):
        keys = jax.random.split(key, 3)
        width = config.hidden_size

        def normal(key: Array, rows: int) -> Array:
            return config.initializer_range * jax.random.normal(key, (rows, width), jnp.float32)

        words = normal(keys[0], config.vocab_size)
        if config.pad_token_id is not None and config.pad_token_id < config.vocab_size:
            words = words.at[config.pad_token_id].set(0.0)
        self.word = nnx.Param(words)
        self.position = nnx.Param(normal(keys[1], config.max_position_embeddings))
        self.token_type = nnx.Param(normal(keys[2], config.type_vocab_size))
        self.norm_scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.norm_bias = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.config = config

    def __call__(self, ids: Array, token_types: Array | None, key: Array | None) -> Array:
        """(B, N) int -> (B, N, D) float32.

        token_types: (B, N) int, or None: all tokens are of type 0.
        key: randomness for dropout; None evaluates.
        """
        x = self.word[...][ids]
        types = self.token_type[...]
        x = x + (types[0] if token_types is None else types[token_types])
        x = x + self.position[...][: ids.shape[1]]
        x = layer_norm(x, self.norm_scale[...], self.norm_bias[...], self.config.layer_norm_eps)
        return dropout(x, self.config.hidden_dropout_prob, key)
