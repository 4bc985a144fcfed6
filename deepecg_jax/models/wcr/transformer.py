"""The transformer: all layers' parameters are stacked on a leading axis and run by one loop."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.attention import self_attention
from deepecg_jax.models.layers import Norm, affine, dropout, gelu, layer_norm
from deepecg_jax.models.wcr.config import WCRConfig

Array = jax.Array


class Transformer(nnx.Module):
    """Bidirectional transformer, post-LN (default, BERT style) or pre-LN.

    One stacked array a parameter (first axis: layer) keeps compile time independent of depth
    (``jax.lax.scan``), makes sharding rules short, and exports by slicing.
    """

    def __init__(self, config: WCRConfig, key: Array):
        layers, width, hidden = config.layers, config.width, config.ffn_width
        keys = jax.random.split(key, 4)

        def normal(key: Array, *shape: int) -> nnx.Param:
            # N(0, 0.02), as in BERT
            return nnx.Param(0.02 * jax.random.normal(key, (layers, *shape), jnp.float32))

        def constant(value: float, *shape: int) -> nnx.Param:
            return nnx.Param(jnp.full((layers, *shape), value, jnp.float32))

        self.norm = Norm(width)
        self.qkv_kernel = normal(keys[0], width, 3, width)
        self.qkv_bias = constant(0.0, 3, width)
        self.out_kernel = normal(keys[1], width, width)
        self.out_bias = constant(0.0, width)
        self.attention_norm_scale = constant(1.0, width)
        self.attention_norm_bias = constant(0.0, width)
        self.up_kernel = normal(keys[2], width, hidden)
        self.up_bias = constant(0.0, hidden)
        self.down_kernel = normal(keys[3], hidden, width)
        self.down_bias = constant(0.0, width)
        self.ffn_norm_scale = constant(1.0, width)
        self.ffn_norm_bias = constant(0.0, width)
        self.config = config

    def __call__(self, x: Array, padding: Array | None = None, key: Array | None = None) -> Array:
        """(B, N, D) -> (B, N, D).

        padding: (B, N) bool, true where a token is padding (its content is zeroed and it is not
            attended to), or None.
        key: randomness for dropout; None switches dropout off.
        """
        config = self.config
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
        stacked = {
            name: value[...] for name, value in vars(self).items() if isinstance(value, nnx.Param)
        }

        def body(x: Array, inputs: tuple[dict[str, Array], Array | None]) -> tuple[Array, None]:
            return transformer_layer(x, inputs[0], config, keep, inputs[1]), None

        if config.remat == "full":
            body = jax.checkpoint(body)
        elif config.remat == "dots":
            policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
            body = jax.checkpoint(body, policy=policy)
        x, _ = jax.lax.scan(body, x, (stacked, keys), unroll=config.scan_unroll)
        return self.norm(x) if config.layer_norm_first else x


def transformer_layer(
    x: Array,
    p: dict[str, Array],
    config: WCRConfig,
    keep: Array | None,
    key: Array | None,
) -> Array:
    """One layer, (B, N, D) -> (B, N, D); ``p`` holds that layer's slices of the parameters."""
    keys: list[Array | None] = [None] * 4
    if key is not None:
        keys = list(jax.random.split(key, 4))

    def attend(x: Array) -> Array:
        y = self_attention(x, p, config.heads, config.attention_dropout, keep, keys[0])
        return dropout(y, config.dropout, keys[1])

    def feed_forward(x: Array) -> Array:
        y = gelu(affine(x, p["up_kernel"], p["up_bias"]))
        y = dropout(y, config.activation_dropout, keys[2])
        return dropout(affine(y, p["down_kernel"], p["down_bias"]), config.dropout, keys[3])

    attention_norm = (p["attention_norm_scale"], p["attention_norm_bias"])
    ffn_norm = (p["ffn_norm_scale"], p["ffn_norm_bias"])
    if config.layer_norm_first:
        x = x + attend(layer_norm(x, *attention_norm))
        return x + feed_forward(layer_norm(x, *ffn_norm))
    x = layer_norm(x + attend(x), *attention_norm)
    return layer_norm(x + feed_forward(x), *ffn_norm)
