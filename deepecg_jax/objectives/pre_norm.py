"""Pre-norm transformer layers for the decoders of objectives."""

import jax

from deepecg_jax.models.attention import self_attention
from deepecg_jax.models.attention_cores import CORES, chosen_core
from deepecg_jax.models.layer_stack import LayerStack
from deepecg_jax.models.layers import Norm, gelu, layer_norm
from deepecg_jax.models.products import affine
from deepecg_jax.models.sharding import platform

Array = jax.Array
FEED_FORWARD = 4
"""Width of a feed-forward block over that of its layer."""


class PreNormLayers(LayerStack):
    """Attention and feed-forward, each normalised before and added, and a norm at the end.

    Args:
        layers, width, heads: number of layers, D, and attention heads, which divide it.
        key: initial weights.
    """

    def __init__(self, layers: int, width: int, heads: int, key: Array):
        super().__init__(layers, width, FEED_FORWARD * width, 0.02, key)
        self.norm = Norm(width)
        self.heads = heads

    def __call__(self, x: Array, padding: Array | None = None) -> Array:
        """(B, N, D) -> (B, N, D).

        padding: (B, N) bool, tokens that are not attended to, or None. Nothing is random.
        """
        keep = None if padding is None else ~padding[:, None, None, :]

        def layer(x: Array, p: dict[str, Array], key: Array | None) -> Array:
            del key
            return _layer(x, p, self.heads, keep)

        return self.norm(self.run(layer, x, None))


def _layer(x: Array, p: dict[str, Array], heads: int, keep: Array | None) -> Array:
    core, _ = chosen_core("auto", platform(), x.dtype, 0.0)
    normed = layer_norm(x, p["attention_norm_scale"], p["attention_norm_bias"])
    x = x + self_attention(normed, p, heads, 0.0, keep, None, CORES[core])
    normed = layer_norm(x, p["ffn_norm_scale"], p["ffn_norm_bias"])
    y = gelu(affine(normed, p["up_kernel"], p["up_bias"], ("width", "hidden")))
    return x + affine(y, p["down_kernel"], p["down_bias"], ("hidden", "width"))
