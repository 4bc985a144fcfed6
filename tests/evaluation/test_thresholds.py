"""Fitted thresholds against scikit-learn's curves; the file."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve, roc_curve

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.thresholds import (
    align_thresholds,
    fit_thresholds,
    read_thresholds,
    unfitted,
    write_thresholds,
)


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    labels = (rng.random((300, 2)) < [0.1, 0.6]).astype(np.int8)
    return labels, np.round(rng.random((300, 2)) * 0.8 + 0.2 * labels, 2)


def test_youden_is_the_best_point_of_scikit_learns_roc_curve(data):
    labels, scores = data
    fitted = fit_thresholds(labels, scores, ["a", "b"])
    for j, name in enumerate(["a", "b"]):
        fpr, tpr, limits = roc_curve(labels[:, j], scores[:, j], drop_intermediate=False)
        assert fitted[name] == limits[np.argmax(tpr - fpr)]


def test_f1_is_the_best_that_any_threshold_reaches(data):
    labels, scores = data
    fitted = fit_thresholds(labels, scores, ["a", "b"], method="f1")
    for j, name in enumerate(["a", "b"]):
        precision, recall, _ = precision_recall_curve(labels[:, j], scores[:, j])
        best = np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        assert f1_score(labels[:, j], scores[:, j] >= fitted[name]) == pytest.approx(best)


def test_unknown_labels_are_ignored_and_single_classes_are_named(data):
    labels, scores = data
    unknown = labels.copy()
    unknown[:100, 0] = -1
    unknown[:, 1] = 1
    fitted = fit_thresholds(unknown, scores, ["a", "b"])
    assert fitted["a"] == fit_thresholds(labels[100:], scores[100:], ["a", "b"])["a"]
    assert fitted["b"] == 0.5
    assert unfitted(unknown, ["a", "b"]) == ["b"]
    with pytest.raises(UserError, match="no threshold method 'best'"):
        fit_thresholds(labels, scores, ["a", "b"], method="best")  # pyright: ignore


def test_file_round_trip_and_order(tmp_path):
    path = tmp_path / "deep" / "t.json"
    write_thresholds(path, {"b": 0.25, "a": 0.5})
    assert json.loads(path.read_text()) == {"b": 0.25, "a": 0.5}
    values = align_thresholds(read_thresholds(path), ["a", "b"], "t.json")
    np.testing.assert_array_equal(values, [0.5, 0.25])


def test_a_finding_without_threshold_is_refused():
    with pytest.raises(UserError, match="t.json has no threshold for 'b' and 1 more"):
        align_thresholds({"a": 0.5}, ["a", "b", "c"], "t.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "holds a list"),
        ('{"a": "x"}', "'a' is 'x'"),
        ('{"a": true}', "'a' is True"),
        ('{"a": NaN}', "'a' is nan"),
    ],
)
def test_bad_files(tmp_path, content, says):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(UserError, match=says):
        read_thresholds(tmp_path / "t.json")
    with pytest.raises(UserError, match="no thresholds file"):
        read_thresholds(tmp_path / "none.json")
