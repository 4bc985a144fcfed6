"""InfoNCE by counts equals the table of negatives; CMSC equals its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.wcr.contrastive import (
    count_negatives,
    draw_negative_counts,
    masked_token_infonce,
)


def _cosine(a, b):
    return np.sum(a * b, -1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def test_infonce_equals_the_explicit_table_of_negatives():
    rng = np.random.default_rng(0)
    rows, masked, width, negatives = 3, 7, 5, 20
    context = rng.normal(size=(rows, masked, width)).astype(np.float32)
    codes = rng.integers(0, 3, (rows, masked, 2))
    book = rng.normal(size=(3, 3, width)).astype(np.float32)
    target = book[codes[..., 0], codes[..., 1]]
    draws = rng.integers(0, masked - 1, (rows, masked, negatives))
    draws += draws >= np.arange(masked)[None, :, None]
    losses, correct = [], []
    for b in range(rows):
        for t in range(masked):
            own = _cosine(context[b, t], target[b, t]) / 0.1
            others = np.array(
                [
                    -np.inf
                    if (target[b, n] == target[b, t]).all()
                    else _cosine(context[b, t], target[b, n]) / 0.1
                    for n in draws[b, t]
                ]
            )
            logits = np.concatenate([[own], others])
            losses.append(-own + np.logaddexp.reduce(logits))
            correct.append(own > others.max())
    result = masked_token_infonce(
        jnp.asarray(context),
        jnp.asarray(target),
        jnp.asarray(codes),
        count_negatives(jnp.asarray(draws), masked),
        0.1,
    )
    assert float(result.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(result.accuracy) == pytest.approx(np.mean(correct))


@pytest.mark.slow
def test_gradient_is_finite_when_all_codes_are_equal():
    context = jax.random.normal(jax.random.key(0), (2, 5, 4))
    codes = jnp.zeros((2, 5, 2), int)
    counts = draw_negative_counts(jax.random.key(1), 2, 5, 10)
    loss = lambda c: masked_token_infonce(c, context, codes, counts, 0.1).loss  # noqa: E731
    value, slope = jax.value_and_grad(loss)(context)
    assert float(value) == 0.0 and bool(jnp.isfinite(slope).all())


def test_negatives_are_others_of_the_same_row_and_uniform():
    counts = np.asarray(draw_negative_counts(jax.random.key(0), 400, 6, 100))
    assert (counts.sum(-1) == 100).all()
    assert (np.diagonal(counts, axis1=1, axis2=2) == 0).all()
    off = counts.mean(0)[~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(off, 20.0, atol=1.0)


def test_cmsc_equals_its_definition_with_repeated_patients():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 6, 8)).astype(np.float32)
    patient = np.array([0, 1, 1, 2, 3, 0])
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    logits = unit(first) @ unit(second).T / 0.1
    positive = patient[:, None] == patient[None]
    by_row = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
    by_column = logits - np.logaddexp.reduce(logits, 0, keepdims=True)
    expected = -0.5 * (by_row[positive].mean() + by_column[positive].mean())
    result = cmsc_loss(jnp.asarray(first), jnp.asarray(second), jnp.asarray(patient), 0.1)
    assert float(result) == pytest.approx(expected, rel=1e-5)
