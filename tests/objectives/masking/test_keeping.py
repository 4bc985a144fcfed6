"""How many tokens are kept, random ones, whole leads, several blocks, and indices of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from deepecg_jax.objectives.masking.keeping import (
    Range,
    fewest_kept,
    kept_count,
    most_kept,
    random_tokens,
)
from deepecg_jax.objectives.masking.leads import hidden_leads
from deepecg_jax.objectives.masking.multiblock import least_shown, most_shown, multiblock_mask
from deepecg_jax.objectives.masking.selection import (
    as_boolean,
    as_indices,
    in_every_group,
    take_tokens,
)


def counts(n: int, keep: tuple[float, float], draws: int = 400) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), draws)
    return np.asarray(jax.vmap(lambda key: kept_count(key, n, keep))(keys))


def test_kept_counts_are_the_shares_rounded_up():
    found = counts(200, (0.15, 0.25))
    assert found.min() >= 30 and found.max() <= 50 == most_kept(200, (0.15, 0.25))
    assert found.mean() == pytest.approx(40.5, abs=1.0)  # of ceil(U(30, 50))
    assert fewest_kept(200, (0.15, 0.25)) <= found.min()
    # 0.15 of 20 is 3, whatever float32 says
    assert set(counts(20, (0.15, 0.15))) == {3} and most_kept(20, (0.15, 0.15)) == 3
    # one is kept and one hidden
    assert set(counts(2, (0.9, 0.99))) == {1} and set(counts(3, (0.01, 0.02))) == {1}


@pytest.mark.parametrize("keep", [(0.3, 0.2), (0.0, 0.5), (0.5, 1.1)])
def test_a_range_is_two_shares_in_order(keep):
    with pytest.raises(ValidationError, match="two shares above 0 and up to 1, the smaller first"):
        TypeAdapter(Range).validate_python(keep)


def test_random_tokens_are_exactly_so_many_and_uniform():
    kept = np.asarray(random_tokens(jax.random.key(1), 5000, 12, jnp.int32(3)))
    assert (kept.sum(1) == 3).all()
    np.testing.assert_allclose(kept.mean(0), 0.25, atol=5 * np.sqrt(0.19 / 5000))


def test_blocks_to_predict_and_a_context_without_them():
    shares = {"block": (0.15, 0.2), "context": (0.85, 1.0)}
    mask = multiblock_mask(jax.random.key(2), 400, 100, 4, **shares)
    predicted, shown = np.asarray(mask.predicted), np.asarray(mask.shown)
    assert not (predicted & shown).any() and shown.any(1).all()
    assert predicted.sum(1).min() >= 15 and predicted.sum(1).max() <= 80
    assert shown.sum(1).min() >= least_shown(100, 4, **shares) == 5
    assert shown.sum(1).max() <= most_shown(100, **shares) == 85
    # some tokens are neither: the context is a block of 85 to 100 of 100
    outside = (~predicted & ~shown).sum(1)
    assert 0 < outside.mean() < 7.5 and outside.max() <= 15
    one = np.asarray(multiblock_mask(jax.random.key(3), 400, 100, 1, **shares).predicted)
    edges = np.diff(np.pad(one.astype(int), ((0, 0), (1, 1))), axis=1)
    assert (np.abs(edges).sum(1) == 2).all(), "a block is in one piece"
    assert set(one.sum(1)) == {15, 16, 17, 18, 19} or set(one.sum(1)) == {15, 16, 17, 18, 19, 20}
    assert least_shown(8, 4, **shares) == 2 and least_shown(4, 4, **shares) < 0 + 1


def test_exactly_so_many_leads_are_hidden_and_one_recorded_stays():
    recorded = jnp.ones((3000, 12), bool)
    hidden = np.asarray(hidden_leads(jax.random.key(4), recorded, 9))
    assert (hidden.sum(1) == 9).all()
    np.testing.assert_allclose(hidden.mean(0), 0.75, atol=5 * np.sqrt(0.19 / 3000))
    few = recorded.at[:, 2:].set(False)
    hidden = np.asarray(hidden_leads(jax.random.key(5), few, 11))
    assert (hidden.sum(1) == 11).all() and (hidden[:, :2].sum(1) == 1).all()
    none = hidden_leads(jax.random.key(6), jnp.zeros((2, 4), bool), 2)
    assert (np.asarray(none).sum(1) == 2).all()


def test_indices_of_the_chosen_and_back():
    chosen = jnp.array([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0]], bool)
    kept = as_indices(chosen, 4)
    np.testing.assert_array_equal(kept.indices, [[1, 3, 4, 1], [2, 2, 2, 2]])
    np.testing.assert_array_equal(kept.padding, [[0, 0, 0, 1], [0, 1, 1, 1]])
    np.testing.assert_array_equal(as_boolean(kept.indices, 5), chosen)
    x = jnp.arange(20.0).reshape(2, 5, 2)
    np.testing.assert_array_equal(take_tokens(x, kept.indices)[0, :3, 0], [2, 6, 8])


def test_a_mask_over_times_holds_in_every_group():
    times = jnp.array([[1, 0, 0], [0, 1, 1]], bool)
    found = np.asarray(in_every_group(times, 4)).reshape(2, 4, 3)
    assert (found == np.asarray(times)[:, None]).all()
