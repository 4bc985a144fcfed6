"""Threshold metrics and Brier score in every resample against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix, f1_score

from deepecg_jax.evaluation.metrics.table import values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.tallies import tally


def values_of(sums):
    return values(Resampled.of_sums(sums))


@pytest.mark.parametrize("largest", [3, 60_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_to_scikit_learn(largest, dtype):
    rng = np.random.default_rng(0)
    labels = (rng.random((600, 3)) < [0.05, 0.4, 0.9]).astype(np.int8)
    scores = np.round(rng.random((600, 3)) * 0.6 + 0.4 * labels, 2).astype(dtype)
    thresholds = np.array([0.7, 0.5, 0.3])
    counts = rng.integers(0, largest, (600, 4)).astype(np.uint32)
    found = values_of(tally(counts, labels, scores, thresholds))
    for r in range(4):
        for c in range(3):
            y, w = labels[:, c], counts[:, r].astype(float)
            called = scores[:, c] >= dtype(thresholds[c])
            tn, fp, fn, tp = confusion_matrix(y, called, sample_weight=w, labels=[0, 1]).ravel()
            expected = {
                "sensitivity": tp / (tp + fn),
                "specificity": tn / (tn + fp),
                "ppv": tp / (tp + fp),
                "npv": tn / (tn + fn),
                "f1": f1_score(y, called, sample_weight=w),
                "brier": brier_score_loss(y, scores[:, c].astype(float), sample_weight=w),
            }
            for metric, value in expected.items():
                assert found[metric][r, c] == pytest.approx(value, abs=1e-12), metric


def test_counts_stay_exact_far_beyond_float32():
    labels = np.ones((9000, 1), np.int8)
    counts = np.full((9000, 1), 2**24 + 1, np.uint32)
    sums = tally(counts, labels, np.ones((9000, 1)), np.array([0.5]))
    assert sums.true_positive[0, 0] == 9000 * (2**24 + 1)


def test_unknown_labels_count_nowhere():
    labels = np.array([[1], [-1], [0], [-1]], np.int8)
    sums = tally(np.ones((4, 1), np.uint8), labels, np.full((4, 1), 0.9), np.array([0.5]))
    assert (sums.known, sums.positive, sums.predicted, sums.true_positive) == (2, 1, 2, 1)
    assert sums.squared_error[0, 0] == pytest.approx(0.1**2 + 0.9**2)


def test_a_score_at_the_threshold_is_positive_in_float32_too():
    scores = np.array([[0.7]], np.float32)
    sums = tally(np.ones((1, 1), np.uint8), np.ones((1, 1), np.int8), scores, np.array([0.7]))
    assert sums.predicted[0, 0] == 1


def test_zero_denominators_are_nan():
    labels, scores = np.zeros((3, 1), np.int8), np.full((3, 1), 0.1)
    found = values_of(tally(np.ones((3, 1), np.uint8), labels, scores, np.array([0.5])))
    assert np.isnan([found[m][0, 0] for m in ("sensitivity", "ppv", "f1")]).all()
    assert found["specificity"][0, 0] == found["npv"][0, 0] == 1.0
