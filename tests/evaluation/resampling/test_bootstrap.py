"""AUROC and average precision of resamples against scikit-learn and by brute force."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.bootstrap import (
    bootstrap,
    bootstrap_auroc,
    bootstrap_ranking,
)
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep


def oracle(labels, scores, counts):
    """scikit-learn, one resample and finding at a time."""
    auroc = np.full((len(counts), labels.shape[1]), np.nan)
    auprc = np.full_like(auroc, np.nan)
    for r, weights in enumerate(counts):
        for c in range(labels.shape[1]):
            use = (weights > 0) & (labels[:, c] >= 0)
            y, s, w = labels[use, c], scores[use, c], weights[use]
            if (y == 1).any():
                auprc[r, c] = average_precision_score(y, s, sample_weight=w)
                if (y == 0).any():
                    auroc[r, c] = roc_auc_score(y, s, sample_weight=w)
    return auroc, auprc


def draw(seed, n, resamples, decimals, prevalences):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(prevalences))) < prevalences).astype(np.int8)
    labels[rng.random(labels.shape) < 0.05] = -1
    scores = np.round(rng.random(labels.shape) * 0.7 + 0.3 * (labels == 1), decimals)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    return labels, scores, counts


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 60),
    decimals=st.sampled_from([0, 1, 2, 12]),
)
def test_equal_to_scikit_learn_with_ties_rare_classes_and_unknown_labels(seed, n, decimals):
    labels, scores, counts = draw(seed, n, 3, decimals, [0.03, 0.3, 0.97])
    expected = oracle(labels, scores, counts)
    found = bootstrap_ranking(labels, scores, counts)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_equal_to_scikit_learn_over_several_chunks_of_steps(dtype, decimals):
    labels, scores, counts = draw(1, 3000, 3, decimals, [0.002, 0.1, 0.5, 0.9])
    scores = scores.astype(dtype)
    expected = oracle(labels, scores, counts)
    np.testing.assert_allclose(bootstrap_auroc(labels, scores, counts), expected[0], atol=1e-12)
    np.testing.assert_allclose(
        bootstrap_ranking(labels, scores, counts)[1], expected[1], atol=1e-12
    )


def test_one_tie_group_larger_than_a_chunk_counts_one_half():
    labels = (np.arange(20_000) % 2)[:, None]
    scores = np.full(labels.shape, 0.25)
    scores[0], scores[1] = 0.9, 0.1
    counts = np.ones((1, 20_000), int)
    expected = oracle(labels, scores, counts)
    assert bootstrap_auroc(labels, scores, counts)[0, 0] == pytest.approx(expected[0], abs=1e-12)
    found = bootstrap_ranking(labels, scores, counts)
    assert found[1][0, 0] == pytest.approx(expected[1], abs=1e-12)


def test_exact_where_sums_pass_32_bits():
    rng = np.random.default_rng(3)
    labels = (rng.random((500, 2)) < [0.5, 0.1]).astype(int)
    scores = np.round(rng.random((500, 2)), 2)
    counts = rng.integers(0, 2**26, (2, 500))
    assert counts.sum() > 2**33
    expected = oracle(labels, scores, counts)
    np.testing.assert_allclose(bootstrap_auroc(labels, scores, counts), expected[0], atol=1e-13)
    np.testing.assert_allclose(
        bootstrap_ranking(labels, scores, counts)[1], expected[1], atol=1e-13
    )


def test_more_resamples_than_lanes_and_padding_agree_with_single_ones():
    labels, scores, _ = draw(5, 50, 1, 1, [0.2, 0.5])
    counts = np.random.default_rng(0).poisson(1.0, (530, 50))
    together = bootstrap_auroc(labels, scores, counts)
    assert together.shape == (530, 2)
    for r in (0, 511, 512, 529):
        np.testing.assert_array_equal(
            together[r], bootstrap_auroc(labels, scores, counts[r : r + 1])[0]
        )


def test_absent_class_is_nan_and_nothing_else():
    labels = np.array([[0, 1, 0], [0, 1, 1], [0, 1, 0]])
    scores = np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.9], [0.3, 0.4, 0.5]])
    counts = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]])
    auroc, auprc = bootstrap_ranking(labels, scores, counts)
    np.testing.assert_array_equal(np.isnan(auroc), [[1, 1, 0], [1, 1, 1], [1, 1, 1]])
    assert auroc[0, 2] == 1.0
    np.testing.assert_array_equal(auprc[0], [np.nan, 1.0, 1.0])


def test_64_bit_types_do_not_leak_into_the_callers_jax():
    labels, scores, counts = draw(1, 30, 2, 1, [0.5])
    bootstrap_auroc(labels, scores, counts)
    assert jnp.ones(1).dtype == jnp.float32
    assert jnp.asarray(np.ones(1)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y, s, c: (y[:, 0], s, c), "one shape"),
        (lambda y, s, c: (y, s, c[:, 1:]), "counts have shape"),
        (lambda y, s, c: (y, s, c - 5), "not be negative"),
        (lambda y, s, c: (y, s, c * 0.5), "whole numbers"),
        (lambda y, s, c: (y + 5, s, c), "labels must be"),
        (lambda y, s, c: (y, s * np.nan, c), "NaN"),
    ],
)
def test_bad_input_is_refused(change, says):
    labels, scores, counts = draw(1, 20, 2, 2, [0.5, 0.5])
    with pytest.raises(UserError, match=says):
        bootstrap_auroc(*change(labels, scores, counts))


def test_sweep_pools_and_groups_equal_the_same_records_by_hand(predictions):
    p = predictions
    mask = p.sex == "female"
    resampler = Resampler.of_patients(p.patient_id, 11)
    swept = bootstrap(
        p.labels, p.scores, np.full(5, 0.5), Sweep(resampler, 4), {"two": [0, 2]}, {"female": mask}
    )
    counts = np.concatenate([np.ones((1, len(p)), int), resampler.counts(0, 4)])
    np.testing.assert_allclose(
        swept.findings.auroc, oracle(p.labels, p.scores, counts)[0], atol=1e-12
    )
    flat = [a[:, [0, 2]].reshape(-1, 1) for a in (p.labels, p.scores)]
    pooled = oracle(*flat, np.repeat(counts, 2, axis=1))
    np.testing.assert_allclose(swept.pools["two"].auroc, pooled[0], atol=1e-12)
    np.testing.assert_allclose(swept.pools["two"].auprc, pooled[1], atol=1e-12)
    group = oracle(p.labels[mask], p.scores[mask], counts[:, mask])
    np.testing.assert_allclose(swept.groups["female"].auroc, group[0], atol=1e-12)


@pytest.mark.real
def test_published_macro_auroc_and_its_published_resamples(shared):
    with np.load(shared / "data" / "ptbxl_predictions" / "xresnet1d101_val.npz") as file:
        labels, scores, ids = file["labels"], file["scores"], file["resample_ids"]
    n = len(labels)
    counts = np.stack([np.bincount(row, minlength=n) for row in ids.astype(int)])
    point = bootstrap_auroc(labels, scores, np.ones((1, n), int)).mean()
    assert point == pytest.approx(0.9280807631416982, abs=1e-12)
    macro = bootstrap_auroc(labels, scores, counts).mean(axis=1)
    low, high = np.percentile(macro, [5, 95])
    assert low == pytest.approx(0.9225217909417082, abs=1e-9)
    assert high == pytest.approx(0.9343466715662667, abs=1e-9)
