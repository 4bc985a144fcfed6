"""A state space in steps of one token, its powers and its convolution kernel, in real numbers.

The state of a channel is N / 2 complex numbers that stand for themselves and their conjugates. They
are kept as their N / 2 real parts, then their N / 2 imaginary parts: every product here is a real
matrix product, which suits every device and every format of export. All of it is float32 and takes
no part in the activations: its size is that of the channels, not of a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Continuous(NamedTuple):
    """x' = A x + B u, y = 2 Re(C x) + D u, where A = diag(-decay + i frequency) - p p*."""

    step: Array  # (H,), of a token, in the model's own time
    decay: Array  # (N / 2,)
    frequency: Array  # (N / 2,)
    low_rank: Array | None  # p, (N,); None: A is diagonal
    input: Array  # B, (N,)
    output: Array  # C, (K, H, N); K is 2 where time is also run backwards
    skip: Array  # D, (H,)


class Discrete(NamedTuple):
    """x[t] = transition x[t - 1] + input u[t], y[t] = output x[t] + skip u[t], channel by channel.

    Of two outputs, the first is that of such states, and the second of states of a time that runs
    backwards, which end with the token before.
    """

    transition: Array  # (H, N, N)
    input: Array  # (H, N)
    output: Array  # (K, H, N)
    skip: Array  # (H,)


def bilinear(space: Continuous) -> Discrete:
    """The bilinear rule (Tustin 1947), as S4 uses it.

    With S = (1 - step / 2 A)^-1 the transition is 2 S - 1 and the input step S B. S is known for
    the diagonal, in 2 x 2 blocks, and by the formula of Sherman and Morrison (1950) for the rest.
    """
    half = 0.5 * space.step[:, None]
    real, imaginary = 1.0 + half * space.decay, half * space.frequency
    size = real * real + imaginary * imaginary
    resolvent = _blocks(real / size, imaginary / size)  # (H, N, N)
    p = space.low_rank
    with jax.default_matmul_precision("highest"):
        if p is not None:
            right, left = resolvent @ p, p @ resolvent  # (H, N)
            # p* x is a sum over conjugate pairs, so twice the sum over what is kept
            share = 2.0 * half / (1.0 + 2.0 * half * (right @ p)[:, None])
            resolvent = resolvent - (share * right)[:, :, None] * left[:, None, :]
        transition = 2.0 * resolvent - jnp.eye(resolvent.shape[-1])
        into = space.step[:, None] * (resolvent @ space.input)
    of_real, of_imaginary = jnp.split(space.output, 2, -1)
    output = 2.0 * jnp.concatenate([of_real, -of_imaginary], -1)
    return Discrete(transition, into, output, space.skip)


def _blocks(real: Array, imaginary: Array) -> Array:
    """Multiplication by N / 2 complex numbers as real matrices, (H, N / 2) -> (H, N, N)."""
    eye = jnp.eye(real.shape[-1])
    real, imaginary = real[:, :, None] * eye, imaginary[:, :, None] * eye
    top = jnp.concatenate([real, -imaginary], -1)
    return jnp.concatenate([top, jnp.concatenate([imaginary, real], -1)], -2)


def power_columns(matrix: Array, columns: Array, doublings: int) -> tuple[Array, Array]:
    """v, M v, M^2 v, ... up to 2^doublings of them, and M^(2^doublings).

    Args:
        matrix: M, (H, N, N).
        columns: v, (H, N, K).

    Returns:
        (H, N, 2^doublings K), the powers one after another with K columns each, and (H, N, N).
    """
    with jax.default_matmul_precision("highest"):
        for _ in range(doublings):
            columns = jnp.concatenate([columns, matrix @ columns], -1)
            matrix = matrix @ matrix
    return columns, matrix


def kernels(space: Discrete, length: int) -> Array:
    """output transition^l input for l below ``length``, with skip at l = 0, (K, H, length).

    l is written as i m + j, where m is about the square root of the length: the powers up to m from
    the right and the powers of the m-th power from the left, each by doubling, and one product.
    Nothing is as large as (H, N, length), and no length is a special one.
    """
    doublings = ((length - 1).bit_length() + 1) // 2
    right, leap = power_columns(space.transition, space.input[..., None], doublings)
    rows = -(-length // 2**doublings)
    start = space.output.transpose(1, 2, 0)  # (H, N, K)
    left, _ = power_columns(leap.swapaxes(1, 2), start, (rows - 1).bit_length())
    count, (channels, size) = len(space.output), space.input.shape
    left = left.reshape(channels, size, -1, count)[:, :, :rows]
    with jax.default_matmul_precision("highest"):
        taps = jnp.einsum("hnik,hnj->khij", left, right)
    return taps.reshape(count, channels, -1)[..., :length].at[0, :, 0].add(space.skip)


def circular(kernels: Array, length: int) -> Array:
    """One kernel for both directions of time, (K, H, M) -> (H, length), length >= 2 M - 1.

    Lag d stands at d, and lag -d at ``length - d``: the second kernel begins at lag -1.
    """
    forward, count = kernels[0], kernels.shape[-1]
    if len(kernels) == 1:
        return jnp.pad(forward, ((0, 0), (0, length - count)))
    backward = kernels[1, :, : count - 1][:, ::-1]
    gap = jnp.zeros((len(forward), length - 2 * count + 1), forward.dtype)
    return jnp.concatenate([forward, gap, backward], -1)
