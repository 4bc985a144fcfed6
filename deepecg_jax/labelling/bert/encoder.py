"""The layers of BERT, over parameters that are stacked by layer."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.models.blocks.attention import self_attention
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layer_stack import LayerStack
from deepecg_jax.models.blocks.layers import gelu, layer_norm
from deepecg_jax.models.products import affine

Array = jax.Array


def gelu_tanh(x: Array) -> Array:
    """The approximation of GELU with a tanh (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1.0 + jnp.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": jax.nn.relu,
}


class BertEncoder(LayerStack):
    """Post-LN transformer layers (Devlin et al. 2019)."""

    def __init__(self, config: BertConfig, key: Array):
        super().__init__(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.initializer_range,
            key,
        )
        self.config = config

    def __call__(self, x: Array, mask: Array | None = None, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, N, D).

        mask: (B, N) bool, true where a token is text and false where it is padding, or None.
        key: randomness for dropout; None evaluates.
        """
        config = self.config
        keep = None if mask is None else mask[:, None, None, :]
        keys = None if key is None else jax.random.split(key, config.num_hidden_layers)

        def layer(x: Array, p: dict[str, Array], key: Array | None) -> Array:
            return bert_layer(x, p, config, keep, key)

        return self.run(layer, x, keys)


def bert_layer(
    x: Array, p: dict[str, Array], config: BertConfig, keep: Array | None, key: Array | None
) -> Array:
    """One layer, (B, N, D) -> (B, N, D); ``p`` holds that layer's slices of the parameters."""
    keys: list[Array | None] = [None] * 3
    if key is not None:
        keys = list(jax.random.split(key, 3))
    rate, epsilon = config.hidden_dropout_prob, config.layer_norm_eps
    y = self_attention(
        x, p, config.num_attention_heads, config.attention_probs_dropout_prob, keep, keys[0]
    )
    x = x + dropout(y, rate, keys[1])
    x = layer_norm(x, p["attention_norm_scale"], p["attention_norm_bias"], epsilon)
    y = ACTIVATIONS[config.hidden_act](affine(x, p["up_kernel"], p["up_bias"], ("width", "hidden")))
    x = x + dropout(affine(y, p["down_kernel"], p["down_bias"], ("hidden", "width")), rate, keys[2])
    return layer_norm(x, p["ffn_norm_scale"], p["ffn_norm_bias"], epsilon)
