"""Targets and errors of a reconstruction against numpy, and what of a signal counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.objectives.reconstruction import (
    lead_reconstruction_loss,
    mean_over_hidden,
    normalised_patches,
    patches_of,
    standardised_leads,
    whole_patches,
)
from deepecg_jax.objectives.regression import elementwise_error


def test_reconstruction_counts_only_what_was_hidden():
    key = jax.random.key(0)
    clean = jax.random.normal(key, (1, 32, 2))
    recorded = jnp.array([[True, True]])
    survivors = jnp.array([[True, False]])
    masked = jnp.array([[True, False]])
    centred = clean - clean.mean(1, keepdims=True)
    target = (centred / centred.std(1, keepdims=True)).reshape(1, 2, 16, 2)
    perfect = target.reshape(1, 2, 32)
    loss = lambda p: float(lead_reconstruction_loss(p, clean, recorded, survivors, masked))  # noqa: E731
    assert loss(perfect) == pytest.approx(0.0, abs=1e-10)
    # token 1 of lead 0 was visible: errors there are free
    visible = target.at[:, 1, :, 0].add(3.0).reshape(1, 2, 32)
    assert loss(visible) == pytest.approx(0.0, abs=1e-10)
    # three token-leads were hidden; an error of 3 in one of them is 9 / 3
    hidden = target.at[:, 1, :, 1].add(3.0).reshape(1, 2, 32)
    assert loss(hidden) == pytest.approx(3.0, rel=1e-5)


def test_patches_are_cut_and_continued_by_zeros():
    signal = jnp.arange(20.0).reshape(1, 10, 2)
    np.testing.assert_array_equal(patches_of(signal, 2, 4)[0, 1, :, 0], [8, 10, 12, 14])
    longer = patches_of(signal, 3, 4)
    assert longer.shape == (1, 3, 4, 2)
    np.testing.assert_array_equal(longer[0, 2, :, 1], [17, 19, 0, 0])
    # only what was recorded to its end counts
    np.testing.assert_array_equal(whole_patches(10, 3, 4, None), [[True, True, False]])
    valid = jnp.array([3, 4, 12])
    found = whole_patches(12, 3, 4, valid)
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 0, 0], [1, 1, 1]])


def test_normalised_patches_are_those_of_numpy():
    patches = np.random.default_rng(0).normal(0.3, 0.2, (2, 3, 25, 4)).astype(np.float32)
    patches[0, 0, :, 0] = 0.7  # a flat one becomes zero
    found = np.asarray(normalised_patches(jnp.asarray(patches)))
    plain = (patches - patches.mean(2, keepdims=True)) / np.sqrt(
        patches.var(2, keepdims=True) + 1e-6
    )
    np.testing.assert_allclose(found, plain, atol=1e-5)
    assert np.abs(found[0, 0, :, 0]).max() < 1e-3
    assert found[1].std() == pytest.approx(1.0, abs=1e-3)


def test_padding_has_no_part_in_the_deviation_of_a_lead():
    signal = np.random.default_rng(1).normal(0.5, 0.3, (2, 40, 3)).astype(np.float32)
    signal[1, 25:] = 0
    found = standardised_leads(jnp.asarray(signal), jnp.array([40, 25]))
    np.testing.assert_allclose(found[:1], standardised_leads(jnp.asarray(signal[:1])), atol=1e-5)
    piece = standardised_leads(jnp.asarray(signal[1:, :25]))
    np.testing.assert_allclose(found[1:, :25], piece, atol=1e-5)
    assert not np.asarray(found[1, 25:]).any()


def test_a_mean_over_nothing_is_zero():
    error = jnp.ones((1, 2, 3))
    assert float(mean_over_hidden(error, jnp.zeros((1, 2, 3), bool))) == 0.0
    hidden = jnp.zeros((1, 2, 3), bool).at[0, 0, :2].set(True)
    assert float(mean_over_hidden(error.at[0, 0, 0].set(4.0), hidden)) == 2.5


@pytest.mark.parametrize(
    ("kind", "expected", "slopes"),
    [
        ("mse", [0, 0.25, 4], [1, -4]),
        ("l1", [0, 0.5, 2], [1, -1]),
        ("smooth_l1", [0, 0.125, 1.5], [0.5, -1]),
    ],
)
def test_errors_by_hand(kind, expected, slopes):
    found = jnp.array([1.0, 1.5, -1.0], jnp.bfloat16)
    error = elementwise_error(found, jnp.ones(3), kind)
    np.testing.assert_array_equal(error, expected)
    assert error.dtype == jnp.float32
    total = lambda x: elementwise_error(x, jnp.ones(2), kind).sum()  # noqa: E731
    np.testing.assert_array_equal(jax.grad(total)(jnp.array([1.5, -1.0])), slopes)
