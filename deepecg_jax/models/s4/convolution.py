"""Convolution of each channel with the kernel of its state space, in two ways that agree."""

import jax
import jax.numpy as jnp

from deepecg_jax.models.products import product
from deepecg_jax.models.s4.discrete import Discrete, circular, kernels, power_columns
from deepecg_jax.models.sharding import rows_split, spec_of

Array = jax.Array
BLOCK = 64  # tokens, a power of two
_WHOLE = (None, None, None)


def by_fft(x: Array, space: Discrete) -> Array:
    """By fast Fourier transforms of twice the length, in float32, (B, N, H) -> (B, N, H).

    XLA collects a batch whose rows are split before it transforms them, so each device transforms
    its own rows explicitly.
    """
    length = x.shape[1]
    size = fast_size(2 * length - 1)

    def local(x: Array, taps: Array) -> Array:
        by_channel = x.astype(jnp.float32).swapaxes(1, 2)
        spectrum = jnp.fft.rfft(by_channel, size) * jnp.fft.rfft(taps)
        return jnp.fft.irfft(spectrum, size)[..., :length].swapaxes(1, 2).astype(x.dtype)

    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and mesh.size > 1:
        rows = spec_of(x.shape, ("rows", None, None), mesh.shape)
        local = jax.shard_map(local, in_specs=(rows, jax.P()), out_specs=rows)
    return local(x, circular(kernels(space, length), size))


def fast_size(least: int) -> int:
    """The smallest number from ``least`` on without prime factors above 5."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def by_products(x: Array, space: Discrete) -> Array:
    """By matrix products over blocks of tokens, in the dtype of ``x``, (B, N, H) -> (B, N, H).

    Within a block the kernel is a Toeplitz matrix a channel. What earlier blocks leave to a block
    is the state at its beginning, N numbers a channel, which a short loop carries in float32 (Dao
    and Gu 2024, section 6, for state spaces that do not change with time).
    """
    batch, length, width = x.shape
    block = min(BLOCK, length)
    count = -(-length // block)
    padded = jnp.pad(x, ((0, 0), (0, count * block - length), (0, 0)))
    blocks = rows_split(padded.reshape(batch, count, block, width))
    taps = circular(kernels(space, block), 2 * block)
    y = product("bcjh,hji->bcih", _WHOLE, blocks, toeplitz(taps, block))
    if count > 1:
        y = y + _from_other_blocks(blocks, space)
    return rows_split(y.reshape(batch, count * block, width)[:, :length])


def toeplitz(taps: Array, block: int) -> Array:
    """taps[(i - j) mod M] at (j, i), (H, M) -> (H, block, block); M > block.

    Rows of a repeated kernel that are one shorter than it begin one lag earlier each: no gather,
    whose gradient would be a scatter.
    """
    width, length = taps.shape
    repeated = jnp.tile(taps, (1, block))[:, : block * (length - 1)]
    return repeated.reshape(width, block, length - 1)[:, :, :block]


def _from_other_blocks(blocks: Array, space: Discrete) -> Array:
    """What the tokens of other blocks add to each, (B, C, BLOCK, H) -> (B, C, BLOCK, H)."""
    doublings = BLOCK.bit_length() - 1
    # input that was j tokens ago; output of a state that was i tokens ago
    written, leap = power_columns(space.transition, space.input[..., None], doublings)
    outputs = space.output.transpose(1, 2, 0)
    read, _ = power_columns(space.transition.swapaxes(1, 2), outputs, doublings)
    read = read.reshape(*written.shape, -1)  # (H, N, BLOCK, K)
    with jax.default_matmul_precision("highest"):
        into = (space.transition @ written)[:, :, ::-1]  # up to the next block's first token
    y = _carried(blocks, into, leap, read[..., 0])
    if len(space.output) == 2:
        y = y + _carried(blocks, written, leap, read[:, :, ::-1, 1], reverse=True)
    return y


def _carried(blocks: Array, into: Array, leap: Array, read: Array, reverse: bool = False) -> Array:
    """Blocks to the states that they leave, from state to state, and from states to blocks.

    into, read: (H, N, BLOCK), of each token of a block. leap: (H, N, N), over a block.
    """
    left = product("bcjh,hnj->cbhn", _WHOLE, blocks, into)

    def body(state: Array, one: Array) -> tuple[Array, Array]:
        with jax.default_matmul_precision("highest"):
            moved = jnp.einsum("hmn,bhn->bhm", leap, state)
        return rows_split(moved + one.astype(jnp.float32)), state.astype(blocks.dtype)

    nothing = rows_split(jnp.zeros(left.shape[1:], jnp.float32))
    _, found = jax.lax.scan(body, nothing, left, reverse=reverse)
    return product("cbhn,hni->bcih", _WHOLE, found, read)


WAYS = {"fft": by_fft, "products": by_products}
