"""DeLong against its definition, its clustered form against Obuchowski's, adjusted p-values."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from deepecg_jax.evaluation.comparison.delong import delong
from deepecg_jax.evaluation.comparison.multiplicity import adjust, holm


def kernel(positive, scores):
    """(m, n) of 1, 1/2 or 0: does positive i beat negative j?"""
    x, y = scores[positive][:, None], scores[~positive][None, :]
    return (x > y) + 0.5 * (x == y)


def by_definition(positive, a, b):
    kernels = [kernel(positive, s) for s in (a, b)]
    auroc = [k.mean() for k in kernels]
    v10 = np.stack([k.mean(axis=1) for k in kernels])
    v01 = np.stack([k.mean(axis=0) for k in kernels])
    m, n = kernels[0].shape
    s10 = sum(np.outer(v - auroc, v - auroc) for v in v10.T) / (m - 1)
    s01 = sum(np.outer(v - auroc, v - auroc) for v in v01.T) / (n - 1)
    return np.array(auroc), s10 / m + s01 / n


def by_obuchowski(positive, a, b, cluster):
    """Her equations patient by patient, with loops."""
    kernels = [kernel(positive, s) for s in (a, b)]
    auroc = np.array([k.mean() for k in kernels])
    v10 = np.stack([k.mean(axis=1) for k in kernels])
    v01 = np.stack([k.mean(axis=0) for k in kernels])
    m, n = kernels[0].shape
    of_positive, of_negative = cluster[positive], cluster[~positive]
    everyone = sorted(set(cluster))
    i10, i01, i = len(set(of_positive)), len(set(of_negative)), len(everyone)
    s10, s01, s11 = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2))
    for patient in everyone:
        mine, others = of_positive == patient, of_negative == patient
        x = v10[:, mine].sum(axis=1) - mine.sum() * auroc
        y = v01[:, others].sum(axis=1) - others.sum() * auroc
        s10 += np.outer(x, x)
        s01 += np.outer(y, y)
        s11 += np.outer(x, y)
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= i / (i - 1)
    return s10 / m + s01 / n + (s11 + s11.T) / (m * n)


def draw(seed, n, decimals):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    positive[:2], positive[2:4] = True, False
    a = np.round(rng.normal(size=n) + positive, decimals)
    b = np.round(a + rng.normal(size=n), decimals)
    return positive, a, b, rng.integers(0, max(2, n // 3), n)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 60), decimals=st.sampled_from([0, 1, 12]))
def test_equal_to_the_definition_with_ties(seed, n, decimals):
    positive, a, b, _ = draw(seed, n, decimals)
    found = delong(positive, a, b)
    assert found is not None
    auroc, covariance = by_definition(positive, a, b)
    np.testing.assert_allclose(found.auroc, auroc, atol=1e-13)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-13)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance > 1e-12:
        expected = 2 * norm.sf(abs(auroc[0] - auroc[1]) / np.sqrt(variance))
        assert found.p == pytest.approx(expected, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(12, 60), decimals=st.sampled_from([0, 12]))
def test_clustered_equals_obuchowskis_equations(seed, n, decimals):
    positive, a, b, cluster = draw(seed, n, decimals)
    found = delong(positive, a, b, cluster)
    if min(len(set(cluster[positive])), len(set(cluster[~positive]))) < 2:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(found.covariance, by_obuchowski(positive, a, b, cluster), atol=1e-13)


def test_one_record_a_patient_is_the_plain_test():
    positive, a, b, _ = draw(1, 80, 1)
    plain, clustered = delong(positive, a, b), delong(positive, a, b, np.arange(80))
    assert plain is not None
    assert clustered is not None
    np.testing.assert_allclose(plain.covariance, clustered.covariance, atol=1e-14)
    assert plain.p == pytest.approx(clustered.p, abs=1e-12)


def test_repeated_records_fool_the_plain_test_only():
    positive, a, b, _ = draw(2, 60, 12)
    once = delong(positive, a, b)
    copies = [np.tile(x, 5) for x in (positive, a, b)]
    cluster = np.tile(np.arange(60), 5)
    plain, clustered = delong(*copies), delong(*copies, cluster)
    assert once is not None
    assert plain is not None
    assert clustered is not None
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=1e-12)
    assert plain.standard_error < 0.5 * once.standard_error


def test_equal_scores_and_too_few_records():
    positive, a, _, _ = draw(3, 40, 1)
    same = delong(positive, a, a)
    assert same is not None
    assert same.p == 1.0
    assert delong(np.array([True, False, False]), a[:3], a[:3]) is None
    perfect = delong(np.array([1, 1, 0, 0], bool), np.array([2, 2, 1, 1.0]), np.zeros(4))
    assert perfect is not None
    assert np.isnan(perfect.p)


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values(p):
    p = np.array(p)
    ranked = np.sort(p)
    found = adjust({str(i): value for i, value in enumerate(p)})
    for value, (_, by_rate) in zip(p, found.values(), strict=True):
        # the smallest level at which the step-up procedure rejects this p-value
        later = range(np.searchsorted(ranked, value), len(p))
        steps = [ranked[i] * len(p) / (i + 1) for i in later if ranked[i] >= value]
        assert by_rate == pytest.approx(min(1.0, *steps), abs=1e-15)
    for value, adjusted in zip(p, holm(p), strict=True):
        # the smallest level at which the step-down procedure rejects this p-value
        steps = [
            min(1.0, ranked[i] * (len(p) - i)) for i in range(np.searchsorted(ranked, value) + 1)
        ]
        assert adjusted == pytest.approx(max(steps), abs=1e-15)


def test_undefined_p_values_are_no_part_of_the_family():
    found = adjust({"a": 0.01, "b": None, "c": 0.04})
    assert found["b"] == (None, None)
    assert found["a"] == (0.02, 0.02)
    assert found["c"] == (0.04, 0.04)


@pytest.mark.real
def test_golden_delong(shared):
    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "metrics_golden.json").read_text())
    with np.load(folder / "metrics_synth.npz") as data:
        labels, a, b, names = data["y"], data["p1"], data["p2"], list(data["names"])
    for name, p in golden["delong_p"].items():
        j = names.index(name)
        found = delong(labels[:, j] == 1, a[:, j], b[:, j])
        assert found is not None
        assert found.p == pytest.approx(p, rel=1e-9, abs=0)
    j = names.index("mid")
    found = delong(labels[:, j] == 1, a[:, j], b[:, j])
    assert found is not None
    np.testing.assert_allclose(found.auroc, golden["delong_mid"]["aucs"], atol=1e-13)
    np.testing.assert_allclose(found.covariance, golden["delong_mid"]["cov"], atol=1e-16)
    # The original also tests the labels of one ECG as if they were independent records. Its number:
    both = [j for j in range(5) if names[j] != "absent"]
    arrays = [x[:, both] for x in (labels == 1, a, b)]
    pooled = delong(*(x.ravel() for x in arrays))
    assert pooled is not None
    assert pooled.p == pytest.approx(golden["delong_p_micro_pooled"], rel=1e-9, abs=0)
    # A second copy of every label is no new evidence, but halves its variance; with the ECG as the
    # cluster nothing changes.
    ecg = np.repeat(np.arange(len(labels)), len(both))
    once = delong(*(x.ravel() for x in arrays), ecg)
    copies = [np.tile(x.ravel(), 2) for x in arrays]
    fooled, clustered = delong(*copies), delong(*copies, np.tile(ecg, 2))
    assert once is not None
    assert fooled is not None
    assert clustered is not None
    assert fooled.standard_error == pytest.approx(pooled.standard_error / np.sqrt(2), rel=1e-3)
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=1e-12)
