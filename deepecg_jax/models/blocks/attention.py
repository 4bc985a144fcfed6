"""Self-attention that the transformers of all families share: projections around a core."""

import jax

from deepecg_jax.models.blocks.attention_cores import CORES, Core
from deepecg_jax.models.execution import execution
from deepecg_jax.models.products import affine, product, shifted
from deepecg_jax.models.sharding import Axes, constrained

Array = jax.Array
_INTO_HEADS: Axes = ("width", "hidden", None)
_OUT_OF_HEADS: Axes = ("hidden", None, "width")
_BY_HEAD: Axes = ("rows", "hidden", None, None)


def self_attention(
    x: Array,
    p: dict[str, Array],
    heads: int,
    rate: float,
    keep: Array | None,
    key: Array | None,
    core: Core = CORES["xla"],
) -> Array:
    """Multi-head self-attention, softmax(q k / sqrt(D / heads)) v; softmax in float32.

    x: (B, N, D).
    p: ``qkv_kernel`` (D, 3, D), ``qkv_bias`` (3, D), ``out_kernel`` (D, D), ``out_bias`` (D,); a
        layer without biases has neither.
    rate: dropout of the attention probabilities; ``key=None`` switches it off.
    keep: bool, broadcast to (B, 1, 1, N): true where a token may be attended to; None: all. To
        (B, 1, N, N): where the first of two tokens may attend to the second (not for splash).
    core: what is computed between the projections (`attention_cores`).
    """
    folded = execution().folded
    q, k, v = (_folded_heads if folded else _heads)(x, p, heads)
    y = core(q, k, v, keep, 0.0 if key is None else rate, key)
    if folded:
        rows = y.transpose(0, 2, 1, 3).reshape(x.shape)
        return affine(rows, p["out_kernel"], p.get("out_bias"), ("hidden", "width"))
    kernel = p["out_kernel"].reshape(heads, -1, x.shape[-1])
    return shifted(product("bhne,hed->bnd", _OUT_OF_HEADS, y, kernel), p.get("out_bias"))


def _heads(x: Array, p: dict[str, Array], heads: int) -> list[Array]:
    """Queries, keys and values, each (B, heads, N, D / heads), by three products straight there.

    Nothing is folded or transposed, which costs copies on TPU, and a kernel that is split by heads
    stays split.
    """
    kernel = p["qkv_kernel"].reshape(x.shape[-1], 3, heads, -1)
    by_head = [product("bnd,dhe->bhne", _INTO_HEADS, x, kernel[:, i]) for i in range(3)]
    if "qkv_bias" in p:
        bias = p["qkv_bias"].reshape(3, heads, 1, -1)
        by_head = [shifted(y, bias[i]) for i, y in enumerate(by_head)]
    return [constrained(y, _BY_HEAD) for y in by_head]


def _folded_heads(x: Array, p: dict[str, Array], heads: int) -> list[Array]:
    """The same by one product over folded rows."""
    batch, n, width = x.shape
    kernel = p["qkv_kernel"].reshape(width, 3 * width)
    bias = p["qkv_bias"].reshape(3 * width) if "qkv_bias" in p else None
    qkv = affine(x, kernel, bias, ("width", None))
    qkv = qkv.reshape(batch, n, 3, heads, width // heads)
    return [qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
