"""What stands between the projections of self-attention, softmax(q k / sqrt(d)) v, in three ways.

``xla`` is made of plain products, drops probabilities, and runs everywhere. ``cudnn`` and
``splash`` are fused kernels for GPU and TPU that never write the probabilities to memory, and drop
none.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike

from deepecg_jax.models.blocks.dropout import position_bits
from deepecg_jax.models.sharding import spec_of

Array = jax.Array
AttentionName = Literal["auto", "xla", "cudnn", "splash"]
# (q, k, v, each (B, H, N, d), keep (B, 1, 1, N) or None, rate, key or None) -> (B, H, N, d);
# xla and cudnn also take keep (B, 1, N, N), or (1, 1, N, N) where it is of all rows
Core = Callable[[Array, Array, Array, Array | None, float, Array | None], Array]
_MASKED = -1e30  # finite: a row whose keys are all padded must not become NaN
_LANES = 128  # splash wants a multiple of these


def xla_core(
    q: Array, k: Array, v: Array, keep: Array | None, rate: float, key: Array | None
) -> Array:
    """The core as products, the softmax in float32, with dropout of the probabilities.

    The backward pass keeps the probabilities once, with the sign of those that were dropped turned,
    and forms the softmax's gradient from the result (sum_m dP P = dy y, Dao et al. 2022), so it
    draws no bits and makes no further pass over an (N, N) array.
    """
    return _xla(0.0 if key is None else rate, q, k, v, keep, key)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _xla(rate: float, q: Array, k: Array, v: Array, keep: Array | None, key: Array | None) -> Array:
    return _xla_forward(rate, q, k, v, keep, key)[0]


def _xla_forward(
    rate: float, q: Array, k: Array, v: Array, keep: Array | None, key: Array | None
) -> tuple[Array, tuple[Array, ...]]:
    logits = jnp.einsum("bhne,bhme->bhnm", q * q.shape[-1] ** -0.5, k).astype(jnp.float32)
    if keep is not None:
        logits = jnp.where(keep, logits, _MASKED)
    signed = jax.nn.softmax(logits, axis=-1).astype(q.dtype)
    if rate and key is not None:
        kept = position_bits(key, signed.shape) >= np.uint32(round(rate * 2**32))
        signed = jnp.where(kept, signed, -signed)
    y = jnp.einsum("bhnm,bhme->bhne", _survivors(signed, rate), v)
    return y, (q, k, v, signed, y)


def _xla_backward(
    rate: float, kept: tuple[Array, ...], slope: Array
) -> tuple[Array, Array, Array, None, None]:
    q, k, v, signed, y = kept
    size = q.shape[-1] ** -0.5
    to_v = jnp.einsum("bhnm,bhne->bhme", _survivors(signed, rate), slope)
    to_probabilities = jnp.einsum("bhne,bhme->bhnm", slope, v).astype(jnp.float32)
    if rate:
        to_probabilities = jnp.where(signed > 0, to_probabilities * (1 / (1 - rate)), 0.0)
    total = jnp.sum(slope.astype(jnp.float32) * y.astype(jnp.float32), -1, keepdims=True)
    probabilities = jnp.abs(signed).astype(jnp.float32)
    to_logits = (probabilities * (to_probabilities - total)).astype(q.dtype)
    to_q = jnp.einsum("bhnm,bhme->bhne", to_logits, k * size)
    to_k = jnp.einsum("bhnm,bhne->bhme", to_logits, q * size)
    return to_q, to_k, to_v, None, None


_xla.defvjp(_xla_forward, _xla_backward)


def _survivors(signed: Array, rate: float) -> Array:
    """The probabilities after dropout, of those whose sign says what was dropped."""
    return jnp.maximum(signed, 0) * (1 / (1 - rate)) if rate else signed


def cudnn_core(
    q: Array, k: Array, v: Array, keep: Array | None, rate: float, key: Array | None
) -> Array:
    """cuDNN's fused kernel, through `jax.nn.dot_product_attention`.

    Its gradient takes even numbers of tokens only, so an odd one is filled up by a token that is
    not attended to; and it wants a mask of all pairs.
    """
    _require_no_dropout("cudnn", rate, key)
    batch, _, n, _ = q.shape
    extra = n % 2
    by_token = [
        jnp.pad(x.transpose(0, 2, 1, 3), ((0, 0), (0, extra), (0, 0), (0, 0))) for x in (q, k, v)
    ]
    lengths = None
    if keep is not None:
        keep = jnp.broadcast_to(keep, (keep.shape[0], 1, n, n))
        keep = jnp.pad(keep, ((0, 0), (0, 0), (0, extra), (0, extra)))
    elif extra:
        lengths = jnp.full((batch,), n, jnp.int32)
    y = jax.nn.dot_product_attention(
        *by_token,
        mask=keep,
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return y[:, :n].transpose(0, 2, 1, 3)


def splash_core(
    q: Array, k: Array, v: Array, keep: Array | None, rate: float, key: Array | None
) -> Array:
    """The Pallas kernel of JAX for TPU, over tokens padded to a multiple of 128, in each device."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    _require_no_dropout("splash", rate, key)
    batch, heads, n, size = q.shape
    extra = -n % _LANES
    real = jnp.ones((batch, n), jnp.int32) if keep is None else keep[:, 0, 0].astype(jnp.int32)
    # an attended token has segment 1; a masked one is in a segment that no query is in
    keys = jnp.pad(real, ((0, 0), (0, extra)))
    queries = jnp.ones_like(keys)
    q, k, v = (jnp.pad(x, ((0, 0), (0, 0), (0, extra), (0, 0))) for x in (q * size**-0.5, k, v))

    def local(q: Array, k: Array, v: Array, queries: Array, keys: Array) -> Array:
        whole = masks.MultiHeadMask([masks.FullMask((n + extra, n + extra))] * q.shape[1])
        kernel = kernels.make_splash_mha_single_device(mask=whole)
        ids = kernels.SegmentIds(queries, keys)
        return cast(Array, jax.vmap(kernel)(q, k, v, ids))

    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and mesh.size > 1:
        spec = spec_of(q.shape, ("rows", "hidden", None, None), mesh.shape)
        ids = P(spec[0], None)
        local = jax.shard_map(
            local, in_specs=(spec, spec, spec, ids, ids), out_specs=spec, check_vma=False
        )
    return local(q, k, v, queries, keys)[:, :, :n]


CORES: dict[str, Core] = {"xla": xla_core, "cudnn": cudnn_core, "splash": splash_core}


def chosen_core(
    wanted: AttentionName, platform: str, dtype: DTypeLike, rate: float
) -> tuple[str, str]:
    """Which core a layer uses, and why, in a few words.

    Args:
        wanted: what the config asks for; ``auto`` takes the fastest that can do the work.
        platform: ``cpu``, ``gpu`` or ``tpu``.
        dtype: of the activations.
        rate: dropout of the probabilities in this pass; 0 in evaluation.

    Raises:
        ValueError: the kernel asked for cannot do the work; the message says why.
    """
    reasons = {name: _hindrance(name, platform, dtype, rate) for name in ("cudnn", "splash")}
    if wanted in reasons:
        reason = reasons[wanted]
        if reason:
            raise ValueError(f"attention={wanted} {reason}; choose xla or auto")
        return wanted, "as the config asks"
    if wanted == "xla":
        return wanted, "as the config asks"
    # splash pads to 128 tokens: of the 78 of a segment it would waste more than it saves
    fused = "cudnn" if platform == "gpu" else None
    if fused is None:
        return "xla", f"the fastest on {platform} at these lengths"
    if reasons[fused]:
        return "xla", f"{fused} {reasons[fused]}"
    return fused, "the fastest on GPU"


def _hindrance(name: str, platform: str, dtype: DTypeLike, rate: float) -> str:
    """Why a fused kernel cannot be used; empty if it can."""
    home = {"cudnn": "gpu", "splash": "tpu"}[name]
    if platform != home:
        return f"runs on {home.upper()} only, not on {platform}"
    if rate:
        return f"cannot drop attention probabilities (attention_dropout={rate:g})"
    if name == "cudnn" and jnp.dtype(dtype) not in (jnp.bfloat16, jnp.float16):
        return f"computes in bfloat16, not in {jnp.dtype(dtype).name}"
    return ""


def _require_no_dropout(name: str, rate: float, key: Array | None) -> None:
    if rate and key is not None:
        raise ValueError(f"attention={name} cannot drop attention probabilities")
