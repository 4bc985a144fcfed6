"""Span masking: exactly so many tokens, in spans, uniformly, each row on its own."""

import jax
import numpy as np
import pytest

from deepecg_jax.objectives.masking.selection import as_boolean
from deepecg_jax.objectives.masking.spans import masked_token_count, span_mask


@pytest.mark.parametrize("n, span, count", [(78, 10, 39), (156, 10, 78), (12, 3, 7), (9, 10, 4)])
def test_exact_count_in_spans(n, span, count):
    indices = np.asarray(span_mask(jax.random.key(0), 50, n, span, count))
    assert indices.shape == (50, count)
    for row in indices:
        assert len(set(row)) == count and row.min() >= 0 and row.max() < n
        hidden = np.zeros(n + 2, int)
        hidden[row + 1] = 1
        edges = np.flatnonzero(np.diff(hidden))
        lengths = edges[1::2] - edges[::2]
        # at most one incomplete span
        assert (lengths < min(span, n)).sum() <= 1


def test_every_inner_token_is_hidden_equally_often():
    mask = as_boolean(span_mask(jax.random.key(1), 4000, 78, 10, 39), 78)
    share = np.asarray(mask).mean(0)
    assert share.mean() == pytest.approx(0.5)
    # a token within a span of the edge is covered by fewer starts, as in the original
    inner = share[10:-10]
    assert inner.std() < 0.02 and inner.min() > 0.45


def test_a_row_does_not_depend_on_the_others():
    a = span_mask(jax.random.key(3), 8, 78, 10, 39)
    b = span_mask(jax.random.key(3), 8, 78, 10, 20)
    assert all(set(np.asarray(y)) <= set(np.asarray(x)) for x, y in zip(a, b, strict=True))


def test_count_leaves_a_negative_and_a_visible_token():
    assert masked_token_count(78, 0.5) == 39
    assert masked_token_count(3, 0.01) == 2
    assert masked_token_count(4, 0.99) == 3
