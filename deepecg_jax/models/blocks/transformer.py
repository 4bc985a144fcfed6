"""The transformer that families share, over parameters that are stacked by layer."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.blocks.attention import self_attention
from deepecg_jax.models.blocks.attention_cores import CORES, chosen_core
from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layer_stack import LayerStack
from deepecg_jax.models.blocks.layers import LAYER_NORM_EPSILON, Norm, gelu, layer_norm
from deepecg_jax.models.blocks.transformer_options import TransformerConfig
from deepecg_jax.models.execution import execution
from deepecg_jax.models.products import affine
from deepecg_jax.models.sharding import platform

Array = jax.Array
_DEVIATION = 0.02  # of the initial kernels (BERT, wav2vec 2.0, ViT)


class Transformer(LayerStack):
    """Bidirectional transformer, post-LN (BERT style) or pre-LN.

    Args:
        config: shape and regularisation.
        key: of the initial kernels.
        biases: whether products and norms have any.
        epsilon: of the norms.
        out_deviation: of the kernels whose products are added to the tokens; None: 0.02 as others.
    """

    def __init__(
        self,
        config: TransformerConfig,
        key: Array,
        biases: bool = True,
        epsilon: float = LAYER_NORM_EPSILON,
        out_deviation: float | None = None,
    ):
        shape = (config.layers, config.width, config.ffn_width)
        super().__init__(*shape, _DEVIATION, key, biases, out_deviation)
        self.norm = Norm(config.width, biases, epsilon)
        self.config = config

    def __call__(
        self,
        x: Array,
        padding: Array | None = None,
        key: Array | None = None,
        pairs: Array | None = None,
    ) -> Array:
        """(B, N, D) -> (B, N, D).

        padding: (B, N) bool, true where a token is padding (its content is zeroed and it is not
            attended to), or None.
        key: randomness for dropout; None switches dropout off.
        pairs: (B, N, N) bool, or (1, N, N) for all rows: true where the first token may attend to
            the second; None: all may.
        """
        config, n = self.config, x.shape[1]
        extra = -n % execution().token_multiple
        if extra:
            x = jnp.pad(x, ((0, 0), (0, extra), (0, 0)))
            padding = jnp.zeros(x.shape[:2], bool) if padding is None else padding
            padding = jnp.pad(padding[:, :n], ((0, 0), (0, extra)), constant_values=True)
            if pairs is not None:
                pairs = jnp.pad(pairs, ((0, 0), (0, extra), (0, extra)))
        keep = None
        if padding is not None:
            x = jnp.where(padding[..., None], 0.0, x)
            keep = ~padding[:, None, None, :]
        if pairs is not None:
            keep = pairs[:, None] if keep is None else pairs[:, None] & keep
        if not config.layer_norm_first:
            x = self.norm(x)
        keys = None
        if key is not None:
            first, rest = jax.random.split(key)
            x = dropout(x, config.dropout, first)
            keys = jax.random.split(rest, config.layers)

        def layer(x: Array, p: dict[str, Array], key: Array | None) -> Array:
            return transformer_layer(x, p, config, keep, key, self.norm.epsilon)

        x = self.run(layer, x, keys, config.remat, config.scan_unroll)[:, :n]
        return self.norm(x) if config.layer_norm_first else x


def transformer_layer(
    x: Array,
    p: dict[str, Array],
    config: TransformerConfig,
    keep: Array | None,
    key: Array | None,
    epsilon: float = LAYER_NORM_EPSILON,
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
        y = gelu(affine(x, p["up_kernel"], p.get("up_bias"), ("width", "hidden")))
        y = dropout(y, config.activation_dropout, keys[2])
        return dropout(
            affine(y, p["down_kernel"], p.get("down_bias"), ("hidden", "width")),
            config.dropout,
            keys[3],
        )

    attention_norm = (p["attention_norm_scale"], p.get("attention_norm_bias"), epsilon)
    ffn_norm = (p["ffn_norm_scale"], p.get("ffn_norm_bias"), epsilon)
    if config.layer_norm_first:
        x = x + attend(layer_norm(x, *attention_norm))
        return x + feed_forward(layer_norm(x, *ffn_norm))
    x = layer_norm(x + attend(x), *attention_norm)
    return layer_norm(x + feed_forward(x), *ffn_norm)


def transformer_flops(config: TransformerConfig, n: int) -> dict[str, float]:
    """Operations of the matrix products over ``n`` tokens of one ECG, two for each multiplication
    and addition: ``attention`` and ``feed_forward``.
    """
    d, hidden = config.width, config.ffn_width
    return {
        "attention": config.layers * (2.0 * n * d * 4 * d + 2 * 2.0 * n * n * d),
        "feed_forward": config.layers * 2 * 2.0 * n * d * hidden,
    }


def attention_ways(config: TransformerConfig, dtype: DTypeLike) -> str:
    """Which kernel computes attention in training, and why; see `EncoderConfig.ways`."""
    try:
        core, reason = chosen_core(config.attention, platform(), dtype, config.attention_dropout)
    except ValueError as error:
        raise UserError(f"model.{error}.") from error
    return f"attention by {core} ({reason})"
