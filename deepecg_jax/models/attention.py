"""Self-attention that the transformers of all families share."""

import jax
import jax.numpy as jnp

from deepecg_jax.models.layers import affine, dropout

Array = jax.Array
_MASKED = -1e30  # finite: a row whose keys are all padded must not become NaN


def self_attention(
    x: Array,
    p: dict[str, Array],
    heads: int,
    rate: float,
    keep: Array | None,
    key: Array | None,
) -> Array:
    """Multi-head self-attention, softmax(q k / sqrt(D / heads)) v; softmax in float32.

    x: (B, N, D).
    p: ``qkv_kernel`` (D, 3, D), ``qkv_bias`` (3, D), ``out_kernel`` (D, D), ``out_bias`` (D,).
    rate: dropout of the attention probabilities; ``key=None`` switches it off.
    keep: bool, broadcast to (B, heads, N, N): true where a token may be attended to; None: all.
    """
    batch, n, width = x.shape
    size = width // heads
    kernel = p["qkv_kernel"].reshape(width, 3 * width)
    qkv = affine(x, kernel, p["qkv_bias"].reshape(3 * width)).reshape(batch, n, 3, heads, size)
    q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))  # (B, H, N, D / H)
    logits = ((q * size**-0.5) @ k.transpose(0, 1, 3, 2)).astype(jnp.float32)
    if keep is not None:
        logits = jnp.where(keep, logits, _MASKED)
    probabilities = jax.nn.softmax(logits, axis=-1).astype(x.dtype)
    probabilities = dropout(probabilities, rate, key)
    y = (probabilities @ v).transpose(0, 2, 1, 3).reshape(batch, n, width)
    return affine(y, p["out_kernel"], p["out_bias"])
