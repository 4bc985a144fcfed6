"""Convolutions in groups, of any kernel and stride, against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.models.products import convolution


def written_out(
    x: np.ndarray, kernel: np.ndarray, slope: np.ndarray | None, stride: int, edges: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """The convolution in float64, tap by tap and group by group, and its two gradients."""
    taps, group_in, n_out = kernel.shape
    groups = x.shape[2] // group_in
    group_out = n_out // groups
    padded = np.pad(x.astype(np.float64), ((0, 0), edges, (0, 0)))
    n = (padded.shape[1] - taps) // stride + 1
    y = np.zeros((len(x), n, n_out))
    to_padded, to_kernel = np.zeros_like(padded), np.zeros(kernel.shape)
    slope = np.zeros_like(y) if slope is None else slope.astype(np.float64)
    for group in range(groups):
        ins = slice(group * group_in, (group + 1) * group_in)
        outs = slice(group * group_out, (group + 1) * group_out)
        for tap in range(taps):
            seen = slice(tap, tap + (n - 1) * stride + 1, stride)
            weight = kernel[tap, :, outs].astype(np.float64)
            y[..., outs] += padded[:, seen, ins] @ weight
            to_padded[:, seen, ins] += slope[..., outs] @ weight.T
            to_kernel[tap, :, outs] = np.einsum(
                "bti,bto->io", padded[:, seen, ins], slope[..., outs]
            )
    return y, to_padded[:, edges[0] : edges[0] + x.shape[1]], to_kernel


@pytest.mark.parametrize(
    ("length", "taps", "stride", "edges", "groups", "group_in", "group_out"),
    [
        (37, 16, 2, (7, 8), 2, 4, 4),  # as in ECGFounder
        (20, 16, 1, (7, 8), 3, 2, 2),
        (5, 16, 2, (7, 8), 2, 3, 3),  # shorter than the kernel
        (31, 3, 1, (1, 1), 2, 2, 3),
        (17, 2, 3, (0, 0), 2, 2, 1),  # samples that no tap sees
        (24, 5, 4, (2, 2), 4, 1, 1),  # a filter a channel
        (33, 4, 2, (1, 2), 1, 5, 3),  # dense
    ],
)
def test_value_and_gradients(length, taps, stride, edges, groups, group_in, group_out) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, length, groups * group_in)).astype(np.float32)
    kernel = rng.standard_normal((taps, group_in, groups * group_out)).astype(np.float32)
    found, vjp = jax.vjp(lambda x, k: convolution(x, k, stride, edges), x, kernel)
    slope = rng.standard_normal(found.shape).astype(np.float32)
    expected, *expected_slopes = written_out(x, kernel, slope, stride, edges)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for ours, theirs in zip(vjp(slope), expected_slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_gradient_of_the_kernel_is_summed_in_float32() -> None:
    """A sum of ones in bfloat16 would end at 256."""
    x = jnp.ones((4, 300, 4), jnp.bfloat16)
    kernel = jnp.zeros((2, 2, 4), jnp.float32)

    def total(kernel: jax.Array) -> jax.Array:
        y = convolution(x, kernel, 1, (0, 1))
        assert y.dtype == jnp.bfloat16
        return jnp.sum(y.astype(jnp.float32))

    slope = jax.grad(total)(kernel)
    assert slope.dtype == jnp.float32
    np.testing.assert_array_equal(slope[0], 4 * 300)
    np.testing.assert_array_equal(slope[1], 4 * 299)  # the last one saw the zero


def test_one_number_is_padding_on_both_sides() -> None:
    x = jnp.arange(12.0).reshape(1, 6, 2)
    kernel = jnp.ones((3, 2, 1))
    np.testing.assert_array_equal(convolution(x, kernel, 1, 1), convolution(x, kernel, 1, (1, 1)))
    assert convolution(x, kernel, 1).shape == (1, 4, 1)
