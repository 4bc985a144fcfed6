"""BERT with a pooler and a linear classifier: `BertForSequenceClassification` of `transformers`."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.embeddings import Embeddings
from deepecg_jax.labelling.bert.encoder import BertEncoder
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layers import Linear

Array = jax.Array


class BertClassifier(nnx.Module):
    """Token ids to one logit a label.

    Args:
        config: the shape.
        key: initial weights, N(0, initializer_range), biases zero, as BERT.
    """

    def __init__(self, config: BertConfig, key: Array):
        keys = jax.random.split(key, 4)
        width, n_labels = config.hidden_size, len(config.labels)

        def linear(key: Array, n_out: int) -> Linear:
            kernel = config.initializer_range * jax.random.normal(key, (width, n_out), jnp.float32)
            return Linear(kernel, jnp.zeros((n_out,), jnp.float32))

        self.embeddings = Embeddings(config, keys[0])
        self.encoder = BertEncoder(config, keys[1])
        self.pooler = linear(keys[2], width)
        self.classifier = linear(keys[3], n_labels)
        self.config = config

    def __call__(
        self,
        ids: Array,
        mask: Array | None = None,
        token_types: Array | None = None,
        key: Array | None = None,
        dtype: jnp.dtype | type = jnp.float32,
    ) -> Array:
        """Logits (B, C) float32 of token ids (B, N).

        mask: (B, N) bool, true where a token is text, false where it is padding; None: all text.
        token_types: (B, N) int; None: all tokens are of type 0.
        key: randomness for dropout; None evaluates.
        dtype: of the layers' activations; norms, softmax and the classifier stay float32.
        """
        keys: list[Array | None] = [None] * 3
        if key is not None:
            keys = list(jax.random.split(key, 3))
        x = self.embeddings(ids, token_types, keys[0]).astype(dtype)
        x = self.encoder(x, mask, keys[1])
        pooled = jnp.tanh(self.pooler(x[:, 0].astype(jnp.float32)))
        config = self.config
        rate = config.classifier_dropout
        pooled = dropout(pooled, config.hidden_dropout_prob if rate is None else rate, keys[2])
        return self.classifier(pooled)
