"""Fitted thresholds against scikit-learn's curves; the file."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve, roc_curve

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.optimism import threshold_optimism
from deepecg_jax.evaluation.discrimination.thresholds import (
    ThresholdMethod,
    align_thresholds,
    fit_thresholds,
    fitted_in_resamples,
    read_thresholds,
    unfitted,
)
from deepecg_jax.evaluation.resampling.draws import Resampler


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


def test_file_and_order(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"b": 0.25, "a": 0.5}')
    values = align_thresholds(read_thresholds(path), ["a", "b"], "t.json")
    np.testing.assert_array_equal(values, [0.5, 0.25])


def test_a_finding_without_threshold_is_refused():
    with pytest.raises(UserError, match="t.json has no threshold for 'b' and 1 more"):
        align_thresholds({"a": 0.5}, ["a", "b", "c"], "t.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "must hold a JSON object"),
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


def test_fixed_sensitivity_and_specificity_against_scikit_learns_curve(data):
    labels, scores = data
    for target in (0.5, 0.9, 1.0):
        sensitive = fit_thresholds(labels, scores, ["a", "b"], f"sensitivity={target}")
        specific = fit_thresholds(labels, scores, ["a", "b"], f"specificity={target}")
        for j, name in enumerate(["a", "b"]):
            fpr, tpr, limits = roc_curve(labels[:, j], scores[:, j], drop_intermediate=False)
            assert sensitive[name] == limits[tpr >= target].max()
            reached = limits[1:][1 - fpr[1:] >= target - 1e-12]
            if len(reached):
                assert specific[name] == reached.min()
            else:
                assert specific[name] > scores[:, j].max()


def test_a_specificity_above_every_observed_one_calls_nobody():
    labels, scores = np.array([[1], [0]]), np.array([[0.2], [0.9]], np.float32)
    limit = fit_thresholds(labels, scores, ["a"], "specificity=0.5")["a"]
    assert limit > np.float32(0.9)
    assert np.float32(limit) > np.float32(0.9)


def test_weighted_fit_equals_repeated_records(data):
    labels, scores = data
    weights = np.random.default_rng(0).integers(0, 4, 300)
    again = [np.repeat(a, weights, axis=0) for a in (labels, scores)]
    for method in ("youden", "f1", "sensitivity=0.8", "specificity=0.8"):
        weighted = fit_thresholds(labels, scores, ["a", "b"], method, weights.astype(float))
        assert weighted == fit_thresholds(*again, ["a", "b"], method)


def test_resamples_fit_what_their_records_would(data):
    labels, scores = data
    counts = np.random.default_rng(1).poisson(1.0, (300, 6)).astype(np.uint8)
    for text in ("youden", "f1", "sensitivity=0.8", "specificity=0.8"):
        method = ThresholdMethod.parse(text)
        together = fitted_in_resamples(labels[:, 0], scores[:, 0], counts, method)
        for r in range(6):
            rows = np.repeat(np.arange(300), counts[:, r])
            alone = fit_thresholds(labels[rows], scores[rows], ["a", "b"], method)
            assert together[r] == alone["a"]
    nobody = fitted_in_resamples(labels[:, 0], scores[:, 0], counts * 0, ThresholdMethod("youden"))
    assert np.isnan(nobody).all()


@pytest.mark.parametrize(
    "text", ["best", "sensitivity", "sensitivity=", "sensitivity=1.5", "youden=1", "f1=x"]
)
def test_unknown_methods(text):
    with pytest.raises(UserError, match="no threshold method"):
        ThresholdMethod.parse(text)
    assert str(ThresholdMethod.parse("specificity=0.9")) == "specificity=0.9"


def test_published_tables(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("index,label,threshold,other\n0,A,0.5,0.1\n1,B,nan,\n2,C, 0.25,0.3\n")
    assert read_thresholds(path) == {"A": 0.5, "C": 0.25}
    assert read_thresholds(f"{path}:other") == {"A": 0.1, "C": 0.3}
    with pytest.raises(UserError, match="no column 'x'; it has index, label"):
        read_thresholds(f"{path}:x")
    with pytest.raises(UserError, match="no thresholds file"):
        read_thresholds(tmp_path / "none.csv:x")
    path.write_text("finding,threshold\nA,0.5\nA,0.6\n")
    with pytest.raises(UserError, match="line 3: 'A' stands a second time"):
        read_thresholds(path)
    path.write_text("finding,threshold\nA,high\n")
    with pytest.raises(UserError, match="line 2: the threshold 'high'"):
        read_thresholds(path)


def test_optimism_is_that_of_resamples_one_by_one(data):
    labels, scores = data
    method = ThresholdMethod.parse("f1")
    resampler = Resampler.of_patients(np.array([f"p{i // 2}" for i in range(300)]), 3)
    found = threshold_optimism(labels, scores, ["a", "b"], method, resampler, 12)
    gaps = []
    for counts in resampler.counts(0, 12):
        rows = np.repeat(np.arange(300), counts)
        limit = fit_thresholds(labels[rows], scores[rows], ["a", "b"], method)["a"]
        inside = f1_score(labels[rows, 0], scores[rows, 0] >= limit)
        gaps.append(inside - f1_score(labels[:, 0], scores[:, 0] >= limit))
    part = found["findings"]["a"]["f1"]
    assert part["optimism"] == pytest.approx(np.mean(gaps), abs=1e-12)
    assert part["corrected"] == pytest.approx(part["apparent"] - np.mean(gaps), abs=1e-12)
    limit = fit_thresholds(labels, scores, ["a", "b"], method)["a"]
    apparent = f1_score(labels[:, 0], scores[:, 0] >= limit)
    assert part["apparent"] == pytest.approx(apparent, abs=1e-12)


def test_optimism_uncovers_thresholds_fitted_on_noise():
    """Scores that say nothing, 40 findings: fitted thresholds look better than they are, by
    about what new data show."""
    rng = np.random.default_rng(11)
    names = [str(j) for j in range(40)]

    def draw(n):
        return (rng.random((n, 40)) < 0.2).astype(np.int8), rng.random((n, 40))

    labels, scores = draw(100)
    method = ThresholdMethod("youden")
    found = threshold_optimism(labels, scores, names, method, Resampler.of_records(100, 0), 60)
    fresh_labels, fresh_scores = draw(20_000)
    fitted = np.array(list(fit_thresholds(labels, scores, names, method).values()))
    called = fresh_scores >= fitted
    positive = fresh_labels == 1
    fresh = (called & positive).sum(axis=0) / positive.sum(axis=0)
    fresh = fresh + (~called & ~positive).sum(axis=0) / (~positive).sum(axis=0) - 1
    part = found["macro"]
    youden = {
        kind: part["sensitivity"][kind] + part["specificity"][kind] - 1
        for kind in ("apparent", "corrected")
    }
    assert fresh.mean() == pytest.approx(0.0, abs=0.01)
    assert youden["apparent"] - fresh.mean() > 0.1
    assert abs(youden["corrected"]) < youden["apparent"] / 2
