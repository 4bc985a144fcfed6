"""Dropout whose random bits are a hash of the position."""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """Inverted dropout; ``key=None`` (evaluation) or ``rate=0`` is the identity."""
    if key is None or rate == 0.0:
        return x
    keep = position_bits(key, x.shape) >= np.uint32(round(rate * 2**32))
    return jnp.where(keep, x * (1.0 / (1.0 - rate)), jnp.zeros((), x.dtype))


def position_bits(key: Array, shape: tuple[int, ...]) -> Array:
    """32 random bits for each element, uint32, a function of (key, position).

    Two rounds of a multiply and xorshift mixer (the constants are those that C. Wellons found by
    search for the least bias, "lowbias32", 2018), with a word of the key before each, over the
    position: a third of the work of threefry, which JAX's own draws use, and local under any
    sharding, as those are. Good enough to decide which activations vanish; nothing else uses it.
    """
    words = jax.random.key_data(key).astype(jnp.uint32).reshape(-1)
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    bits = jnp.broadcast_to(words[0], shape)
    for axis, stride in enumerate(strides):
        index = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        bits = bits + index * np.uint32(stride % 2**32)
    bits = (bits ^ (bits >> 16)) * np.uint32(0x7FEB352D)
    bits = bits ^ words[-1]
    bits = (bits ^ (bits >> 15)) * np.uint32(0x846CA68B)
    return bits ^ (bits >> 16)
