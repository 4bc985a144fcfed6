"""The gradient of the kernel of a grouped convolution, as matrix products."""

import jax
import jax.numpy as jnp

Array = jax.Array
_OUTPUTS = 4  # computed at once


def grouped_kernel_slope(
    x: Array, slope: Array, shape: tuple[int, ...], stride: int, left: int
) -> Array:
    """Gradient of a grouped convolution's kernel, float32, of ``shape`` (K, I / G, O).

    XLA:CPU takes 4 to 24 times as long for it as for the convolution itself (16 taps, 4 to 64
    groups of 16 channels). Here some outputs that follow one another are one row, and all that
    they see is another: the product of the two is a gradient for each pair of a sample and an
    output, and pairs of the same distance are the same tap. Pairs too far apart are dropped.

    x: (B, T, I), the input without padding.
    slope: (B, T', O), the gradient of the output.
    left: zeros before the input.
    """
    taps, group_in, n_out = shape
    batch, n_samples, n_in = x.shape
    n = slope.shape[1]
    groups = n_in // group_in
    group_out = n_out // groups
    step = _OUTPUTS * stride  # samples from one row to the next
    rows = -(-n // _OUTPUTS)
    seen = -(-(step - stride + taps) // step)  # steps that a row sees
    length = (rows - 1 + seen) * step

    right = max(length - left - n_samples, 0)
    x = jnp.pad(x, ((0, 0), (left, right), (0, 0)))[:, :length]
    x = x.reshape(batch, -1, step, groups, group_in).transpose(3, 0, 1, 2, 4)
    slope = jnp.pad(slope, ((0, 0), (0, rows * _OUTPUTS - n), (0, 0)))
    slope = slope.reshape(batch, rows, _OUTPUTS, groups, group_out).transpose(3, 0, 1, 2, 4)
    slope = slope.reshape(groups, batch * rows, _OUTPUTS * group_out)

    pairs = []
    for i in range(seen):
        piece = x[:, :, i : i + rows].reshape(groups, batch * rows, step * group_in)
        pair = jnp.einsum("gri,gro->gio", piece, slope, preferred_element_type=jnp.float32)
        pairs.append(pair.reshape(groups, step, group_in, _OUTPUTS, group_out))
    pair = jnp.concatenate(pairs, 1)
    total = jnp.zeros((groups, taps, group_in, group_out), jnp.float32)
    for output in range(_OUTPUTS):
        first = output * stride
        total = total + pair[:, first : first + taps, :, output]
    return total.transpose(1, 2, 0, 3).reshape(shape)
