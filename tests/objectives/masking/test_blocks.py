"""Weimann's block mask: what it promises, and the same distribution as the published loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.block_mask_weimann import weimann_block_mask

from deepecg_jax.objectives.masking.blocks import block_mask, most_cuts


def runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of every run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize(
    ("n", "kept", "shortest"), [(200, 30, 10), (100, 25, 10), (20, 3, 10), (64, 40, 4), (9, 1, 10)]
)
def test_exact_count_in_blocks_of_at_least_the_shortest(n, kept, shortest):
    mask = np.asarray(block_mask(jax.random.key(0), 200, n, jnp.int32(kept), kept, shortest))
    assert mask.shape == (200, n) and (mask.sum(1) == n - kept).all()
    shortest_run = min(length for row in mask for _, length in runs(row))
    assert shortest_run >= min(shortest, n - kept)
    assert len({row.tobytes() for row in mask}) > 1  # each row is drawn by itself


def test_the_count_may_change_without_another_program():
    masks = jax.jit(lambda kept: block_mask(jax.random.key(1), 50, 100, kept, 15))
    for kept in (15, 20, 25):
        assert (np.asarray(masks(jnp.int32(kept))).sum(1) == 100 - kept).all()
    assert masks._cache_size() == 1


def test_the_bound_of_cuts_is_enough_for_the_worst_draws():
    """All blocks shortest, in intervals that are then left in pieces."""
    masks = jax.jit(lambda key: block_mask(key, 3000, 23, jnp.int32(2), 2, 2))
    for seed in range(3):
        assert (np.asarray(masks(jax.random.key(seed))).sum(1) == 21).all()
    assert most_cuts(170, 10) == 36 and most_cuts(7, 10) == 2


@pytest.mark.slow
def test_it_is_distributed_as_the_published_loop():
    """Every place's probability, and how often a run has which length and which place."""
    n, kept, rows = 100, 20, 3000
    mask = np.asarray(block_mask(jax.random.key(2), rows, n, jnp.int32(kept), kept))
    rng = np.random.default_rng(2)
    plain = np.stack([weimann_block_mask(rng, n, kept) for _ in range(rows)])
    # the deviation of a difference of two shares of 3,000 rows is at most 0.013
    assert np.abs(mask.mean(0) - plain.mean(0)).max() < 5 * 0.5 * np.sqrt(2 / rows)
    bins = [np.arange(0, n + 11, 10)] * 2
    found, expected = (
        np.histogram2d(*np.array([run for row in rows_ for run in runs(row)]).T, bins=bins)[0]
        for rows_ in (mask, plain)
    )
    # counts of rare runs are Poisson; their difference, over its deviation, is normal
    total = found + expected
    score = (found - expected)[total > 20] / np.sqrt(total[total > 20])
    assert np.abs(score).max() < 5 and (score**2).mean() < 1.6
    counts = [
        np.bincount([len(runs(row)) for row in rows_], minlength=20) for rows_ in (mask, plain)
    ]
    assert np.abs(counts[0] - counts[1]).max() < 5 * np.sqrt(2 * rows * 0.25)
