"""The bits of dropout are as good as dropout needs: shares, independence, and the same anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import stats

from deepecg_jax.models.blocks.dropout import dropout, position_bits


def masks(count: int, shape: tuple[int, ...], rate: float) -> np.ndarray:
    keys = jax.random.split(jax.random.key(5), count)
    bits = np.stack([np.asarray(position_bits(key, shape)) for key in keys])
    return bits >= np.uint32(round(rate * 2**32))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_that_stays_is_binomial_for_every_key_row_and_column(rate):
    kept = masks(64, (96, 160), rate)
    for axes in [(1, 2), (0, 1), (0, 2)]:
        counts = kept.sum(axes)
        trials = kept.size // counts.size
        z = (counts - trials * (1 - rate)) / np.sqrt(trials * rate * (1 - rate))
        assert stats.kstest(z, "norm").pvalue > 1e-3


def test_neighbours_and_masks_of_other_keys_are_uncorrelated():
    kept = masks(64, (96, 160), 0.5) - 0.5
    n = kept.size
    moved = {
        "next element": (kept[..., 1:], kept[..., :-1]),
        "next row": (kept[:, 1:], kept[:, :-1]),
        "row after the next": (kept[:, 2:], kept[:, :-2]),
        "128 further": (kept[..., 32:], kept[..., :128]),
        "next key": (kept[1:], kept[:-1]),
    }
    for name, (a, b) in moved.items():
        z = 4 * np.sum(a * b) / np.sqrt(a.size)
        assert abs(z) < 4.5, name
    # and the same for a thousand random distances
    flat = kept.reshape(64, -1)
    rng = np.random.default_rng(0)
    z = [4 * np.sum(flat * np.roll(flat, k, 1)) / np.sqrt(n) for k in rng.integers(1, 15360, 300)]
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_every_bit_is_fair():
    bits = np.asarray(position_bits(jax.random.key(1), (400, 1000)))
    for place in range(32):
        share = np.mean((bits >> place) & 1)
        assert abs(share - 0.5) < 4.5 * 0.5 / np.sqrt(bits.size)


def test_keys_of_one_step_and_the_next_share_nothing():
    a, b = (position_bits(jax.random.fold_in(jax.random.key(0), s), (300, 300)) for s in (0, 1))
    assert np.mean(np.asarray(a) == np.asarray(b)) < 1e-4


def test_a_part_of_the_array_has_the_bits_of_its_place():
    key, shape = jax.random.key(3), (16, 6, 40)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, P("data"))
    spread = jax.jit(lambda: position_bits(key, shape), out_shardings=sharding)
    assert "all-" not in (spread.lower().compile().as_text() or "")
    np.testing.assert_array_equal(spread(), position_bits(key, shape))


def test_values_that_stay_are_scaled_and_the_mean_is_kept():
    x = jnp.full((200, 500), 2.0)
    y = np.asarray(dropout(x, 0.1, jax.random.key(0)))
    np.testing.assert_allclose(np.unique(y), [0.0, 2.0 / 0.9], rtol=1e-6)
    assert abs(y.mean() - 2.0) < 5 * 2.0 * np.sqrt(0.1 / 0.9 / y.size)
    assert dropout(x, 0.1, None) is x and dropout(x, 0.0, jax.random.key(0)) is x
