"""The transformer of WCR, over parameters that are stacked by layer."""

import jax
import jax.numpy as jnp

from deepecg_jax.models.attention import self_attention
from deepecg_jax.models.attention_cores import CORES, chosen_core
from deepecg_jax.models.dropout import dropout
from deepecg_jax.models.execution import execution
from deepecg_jax.models.layer_stack import LayerStack
from deepecg_jax.models.layers import Norm, gelu, layer_norm
from deepecg_jax.models.products import affine
from deepecg_jax.models.sharding import platform
from deepecg_jax.models.wcr.shape import WCRShape

Array = jax.Array


class Transformer(LayerStack):
    """Bidirectional transformer, post-LN (default, BERT style) or pre-LN."""

    def __init__(self, config: WCRShape, key: Array):
        super().__init__(config.layers, config.width, config.ffn_width, 0.02, key)
        self.norm = Norm(config.width)
        self.config = config

    def __call__(self, x: Array, padding: Array | None = None, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, N, D).

        padding: (B, N) bool, true where a token is padding (its content is zeroed and it is not
            attended to), or None.
        key: randomness for dropout; None switches dropout off.
        """
        config, n = self.config, x.shape[1]
        extra = -n % execution().token_multiple
        if extra:
            x = jnp.pad(x, ((0, 0), (0, extra), (0, 0)))
            padding = jnp.zeros(x.shape[:2], bool) if padding is None else padding
            padding = jnp.pad(padding[:, :n], ((0, 0), (0, extra)), constant_values=True)
        keep = None
        if padding is not None:
            x = jnp.where(padding[..., None], 0.0, x)
            keep = ~padding[:, None, None, :]
        if not config.layer_norm_first:
            x = self.norm(x)
        keys = None
        if key is not None:
            first, rest = jax.random.split(key)
            x = dropout(x, config.dropout, first)
            keys = jax.random.split(rest, config.layers)

        def layer(x: Array, p: dict[str, Array], key: Array | None) -> Array:
            return transformer_layer(x, p, config, keep, key)

        x = self.run(layer, x, keys, config.remat, config.scan_unroll)[:, :n]
        return self.norm(x) if config.layer_norm_first else x


def transformer_layer(
    x: Array,
    p: dict[str, Array],
    config: WCRShape,
    keep: Array | None,
    key: Array | None,
) -> Array:
    """One layer, (B, N, D) -> (B, N, D); ``p`` holds that layer's slices of the parameters."""
    keys: list[Array | None] = [None] * 4
    if key is not None:
        keys = list(jax.random.split(key, 4))

    rate = 0.0 if key is None else config.attention_dropout
    core, _ = chosen_core(config.attention, platform(), x.dtype, rate)

    def attend(x: Array) -> Array:
        y = self_attention(x, p, config.heads, rate, keep, keys[0], CORES[core])
        return dropout(y, config.dropout, keys[1])

    def feed_forward(x: Array) -> Array:
        y = gelu(affine(x, p["up_kernel"], p["up_bias"], ("width", "hidden")))
        y = dropout(y, config.activation_dropout, keys[2])
        return dropout(
            affine(y, p["down_kernel"], p["down_bias"], ("hidden", "width")),
            config.dropout,
            keys[3],
        )

    attention_norm = (p["attention_norm_scale"], p["attention_norm_bias"])
    ffn_norm = (p["ffn_norm_scale"], p["ffn_norm_bias"])
    if config.layer_norm_first:
        x = x + attend(layer_norm(x, *attention_norm))
        return x + feed_forward(layer_norm(x, *ffn_norm))
    x = layer_norm(x + attend(x), *attention_norm)
    return layer_norm(x + feed_forward(x), *ffn_norm)
