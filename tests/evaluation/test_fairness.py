"""Group metrics against fairlearn, finding by finding, in the sample and in a resample."""

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import precision_score, roc_auc_score

from deepecg_jax.evaluation.bootstrap import bootstrap
from deepecg_jax.evaluation.fairness import compare_groups
from deepecg_jax.evaluation.grouping import groups_of
from deepecg_jax.evaluation.resampling import Resampler, Sweep

THRESHOLDS = np.array([0.4, 0.5, 0.5, 0.6, 0.5])
RESAMPLES = 12


@pytest.fixture(scope="module", params=["sex", "age"])
def compared(request, predictions):
    masks = groups_of(predictions)[request.param]
    resampler = Resampler.of_patients(predictions.patient_id, 5)
    swept = bootstrap(
        predictions.labels, predictions.scores, THRESHOLDS, Sweep(resampler, RESAMPLES), {}, masks
    )
    return masks, swept, compare_groups(masks, swept.groups, predictions.names), resampler


def by_fairlearn(predictions, masks, j, counts=None):
    """fairlearn on the labelled records of one finding, repeated as often as they are drawn."""
    group = np.full(len(predictions), "", dtype=object)
    for name, mask in masks.items():
        group[mask] = name
    counts = np.ones(len(predictions), int) if counts is None else counts.astype(int)
    at = np.repeat(np.arange(len(predictions)), counts)
    at = at[(group[at] != "") & (predictions.labels[at, j] >= 0)]
    y, s, g = predictions.labels[at, j], predictions.scores[at, j], group[at]
    called = (s >= np.float32(THRESHOLDS[j])).astype(int)
    rates = MetricFrame(
        metrics={
            "tpr": true_positive_rate,
            "fpr": false_positive_rate,
            "selection_rate": selection_rate,
            "ppv": precision_score,
        },
        y_true=y,
        y_pred=called,
        sensitive_features=g,
    )
    auroc = MetricFrame(metrics=roc_auc_score, y_true=y, y_pred=s, sensitive_features=g)
    return rates, auroc, equalized_odds_difference(y, called, sensitive_features=g)


def test_every_finding_equals_fairlearn(predictions, compared):
    masks, _, result, _ = compared
    assert result["findings_compared"] == list(predictions.names[:4])
    for j, name in enumerate(predictions.names[:4]):
        rates, auroc, odds = by_fairlearn(predictions, masks, j)
        for metric in ("tpr", "fpr", "selection_rate", "ppv"):
            for group in masks:
                found = result["groups"][group]["by_finding"][name][metric]
                assert found == pytest.approx(rates.by_group.loc[group, metric], abs=1e-12)
            found = result[f"{metric}_difference"]["by_finding"][name]["value"]
            assert found == pytest.approx(rates.difference()[metric], abs=1e-12)
        found = result["auroc_difference"]["by_finding"][name]["value"]
        assert found == pytest.approx(auroc.difference(), abs=1e-12)
        found = result["equalized_odds_difference"]["by_finding"][name]["value"]
        assert found == pytest.approx(odds, abs=1e-12)


def test_reported_values_are_means_over_compared_findings(predictions, compared):
    masks, _, result, _ = compared
    four = predictions.names[:4]
    means = {}
    for metric in ("auroc", "tpr", "fpr", "ppv", "selection_rate"):
        gap = result[f"{metric}_difference"]
        means[metric] = np.mean([gap["by_finding"][name]["value"] for name in four])
        assert gap["value"] == pytest.approx(means[metric], abs=1e-12)
        assert gap["low"] <= gap["high"]
    odds = result["equalized_odds_difference"]
    assert odds["value"] == pytest.approx(max(means["tpr"], means["fpr"]), abs=1e-12)
    assert odds["low"] <= odds["high"]
    for group, mask in masks.items():
        found = result["groups"][group]
        assert found["n"] == mask.sum()
        mean = np.mean([found["by_finding"][name]["tpr"] for name in four])
        assert found["tpr"] == pytest.approx(mean, abs=1e-12)
        assert found["intervals"]["tpr"]["low"] <= found["intervals"]["tpr"]["high"]


def test_the_interval_is_made_of_fairlearns_values_on_the_resamples(predictions, compared):
    masks, _, result, resampler = compared
    counts = resampler.counts(0, RESAMPLES)
    j = 1
    drawn = [by_fairlearn(predictions, masks, j, row)[2] for row in counts]
    gap = result["equalized_odds_difference"]["by_finding"][predictions.names[j]]
    assert gap["degenerate"] == 0.0
    assert [gap["low"], gap["high"]] == pytest.approx(list(np.percentile(drawn, [2.5, 97.5])))


def test_groups_are_as_defined(predictions):
    groups = groups_of(predictions)
    assert list(groups["sex"]) == ["female", "male"]
    assert list(groups["age"]) == ["<=55", "56-75", ">75"]
    at = {name: mask[10:14].tolist() for name, mask in groups["age"].items()}
    assert at["<=55"] == [True, False, False, False]
    assert at["56-75"] == [False, True, True, False]
    assert at[">75"] == [False, False, False, True]
    assert not any(mask[:10].any() for mask in groups["age"].values())


def test_nothing_to_compare(predictions):
    masks = groups_of(predictions)["sex"]
    only = {"female": masks["female"]}
    resampler = Resampler.of_records(len(predictions), 0)
    sweep = Sweep(resampler, 2)
    swept = bootstrap(predictions.labels, predictions.scores, THRESHOLDS, sweep, {}, only)
    result = compare_groups(only, swept.groups, predictions.names)
    assert "tpr_difference" not in result
    assert result["groups"]["female"]["n"] == masks["female"].sum()
    assert compare_groups({}, {}, predictions.names) == {"groups": {}, "findings_compared": []}


@pytest.mark.real
def test_the_originals_difference_counts_self_pairs_and_halves_it(shared):
    """The published fairness code averages |difference| over all ordered pairs of groups, a group
    with itself included (reference/metrics.md); without self-pairs two groups give twice that."""
    import json

    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "metrics_golden.json").read_text())["fair"]
    with np.load(folder / "metrics_synth.npz") as data, np.load(folder / "metrics_groups.npz") as g:
        labels, sex, called = data["y"].astype(np.int8), g["g2"], g["pb"]
    masks = {"a": sex == 0, "b": sex == 1}
    sweep = Sweep(Resampler.of_records(len(labels), 0), 1)
    swept = bootstrap(labels, called.astype(float), np.full(5, 0.5), sweep, {}, masks)
    rates = [swept.groups[name].tallies for name in masks]
    with np.errstate(invalid="ignore"):
        tpr = np.stack([t.true_positive[0] / t.positive[0] for t in rates])
    ours = np.abs(np.diff(np.nan_to_num(tpr), axis=0)).mean()
    published = golden["sex_binary_micro"]["tpr_diff_mean"]
    assert ours == pytest.approx(golden["true_mean_abs_pairwise"]["sex_binary"][0], abs=1e-9)
    assert published == pytest.approx(ours / 2, abs=1e-8)
