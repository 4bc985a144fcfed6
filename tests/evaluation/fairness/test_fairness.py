"""Group metrics against fairlearn, finding by finding, in the sample and in a resample."""

import dataclasses
import json

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    roc_auc_score,
)

from deepecg_jax.evaluation.fairness.gaps import compare_groups
from deepecg_jax.evaluation.fairness.power import smallest_detectable
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep
from deepecg_jax.evaluation.table.grouping import groups_of

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


def test_ratios_parity_and_opportunity_equal_fairlearn(predictions, compared):
    masks, _, result, _ = compared
    for j, name in enumerate(predictions.names[:4]):
        rates, _, _ = by_fairlearn(predictions, masks, j)
        for metric in ("tpr", "fpr", "ppv", "selection_rate"):
            found = result[f"{metric}_ratio"]["by_finding"][name]["value"]
            assert found == pytest.approx(rates.ratio()[metric], abs=1e-12)
        group = np.full(len(predictions), "", dtype=object)
        for label, mask in masks.items():
            group[mask] = label
        use = (group != "") & (predictions.labels[:, j] >= 0)
        y = predictions.labels[use, j]
        called = (predictions.scores[use, j] >= np.float32(THRESHOLDS[j])).astype(int)
        features = {"sensitive_features": group[use]}
        found = result["equalized_odds_ratio"]["by_finding"][name]["value"]
        assert found == pytest.approx(equalized_odds_ratio(y, called, **features), abs=1e-12)
        found = result["selection_rate_difference"]["by_finding"][name]["value"]
        expected = demographic_parity_difference(y, called, **features)
        assert found == pytest.approx(expected, abs=1e-12)
        found = result["tpr_difference"]["by_finding"][name]["value"]
        expected = equal_opportunity_difference(y, called, **features)
        assert found == pytest.approx(expected, abs=1e-12)
    for parity, metric in (("equal_opportunity", "tpr"), ("demographic_parity", "selection_rate")):
        for kind in ("difference", "ratio"):
            for key in ("value", "low", "high"):
                assert result[f"{parity}_{kind}"][key] == result[f"{metric}_{kind}"][key]


def test_group_auprc_and_calibration(predictions, compared):
    masks, _, result, _ = compared
    for group, mask in masks.items():
        found = result["groups"][group]
        positives = 0
        for j, name in enumerate(predictions.names[:4]):
            use = mask & (predictions.labels[:, j] >= 0)
            y, s = predictions.labels[use, j], predictions.scores[use, j].astype(float)
            own = found["by_finding"][name]
            assert (own["n"], own["n_positive"]) == (use.sum(), y.sum())
            assert own["auprc"] == pytest.approx(average_precision_score(y, s), abs=1e-12)
            assert own["brier"] == pytest.approx(brier_score_loss(y, s), abs=1e-12)
            assert own["observed_expected"] == pytest.approx(y.sum() / s.sum(), abs=1e-12)
            positives += y.sum()
        assert found["n_positive"] == positives


def test_worst_group(predictions, compared):
    masks, _, result, _ = compared
    name = predictions.names[0]
    for metric, pick in (("auroc", min), ("fpr", max)):
        values = {g: result["groups"][g]["by_finding"][name][metric] for g in masks}
        worst = result["worst_group"][metric]["by_finding"][name]
        assert worst["value"] == pick(values.values())
        assert values[worst["group"]] == worst["value"]


def test_smallest_detectable_gap_is_bloom_on_the_bootstrap_error(predictions):
    masks = groups_of(predictions)["sex"]
    resampler = Resampler.of_patients(predictions.patient_id, 5)
    sweep = Sweep(resampler, 40)
    swept = bootstrap(predictions.labels, predictions.scores, THRESHOLDS, sweep, {}, masks)
    result = compare_groups(masks, swept.groups, predictions.names)
    tpr = {g: metric_values(swept.groups[g], "groups")["sensitivity"][1:] for g in masks}
    difference = tpr["female"] - tpr["male"]
    power = result["power"]["smallest_detectable"]["tpr"]
    expected = (1.959964 + 0.841621) * difference[:, 0].std(ddof=1)
    assert power["by_finding"][predictions.names[0]] == pytest.approx(expected, rel=1e-5)
    expected = (1.959964 + 0.841621) * difference[:, :4].mean(axis=1).std(ddof=1)
    assert power["pairs"] == {"female - male": pytest.approx(expected, rel=1e-5)}
    assert power["value"] == power["pairs"]["female - male"]


def test_a_gap_of_that_size_is_found_four_times_in_five():
    """400 simulated studies whose true gap is the smallest detectable one."""
    rng = np.random.default_rng(31)
    n, base, studies = 150, 0.7, 400
    error = np.sqrt(2 * base * (1 - base) / n)
    for _ in range(20):  # the error depends on the second rate, which depends on the gap
        gap = float(smallest_detectable(error))
        other = base - gap
        error = np.sqrt((base * (1 - base) + other * (1 - other)) / n)
    found = 0
    for _ in range(studies):
        a, b = rng.random(n) < base, rng.random(n) < other
        drawn = a.mean() - b.mean()
        own = np.sqrt((a.var() + b.var()) / n)
        found += abs(drawn) / own > 1.959964
    tolerance = 3 * np.sqrt(0.8 * 0.2 / studies)
    assert found / studies == pytest.approx(0.8, abs=tolerance)


def test_a_group_with_one_class_only_is_no_error(predictions):
    sex = predictions.sex.copy()
    p = dataclasses.replace(predictions, sex=sex)
    labels = p.labels.copy()
    labels[sex == "female", 0] = np.minimum(labels[sex == "female", 0], 0)
    masks = groups_of(p)["sex"]
    sweep = Sweep(Resampler.of_records(len(p), 0), 5)
    swept = bootstrap(labels, p.scores, THRESHOLDS, sweep, {}, masks)
    result = compare_groups(masks, swept.groups, p.names)
    assert result["findings_compared"] == list(p.names[1:4])
    assert result["groups"]["female"]["by_finding"][p.names[0]]["auroc"] is None
    assert result["groups"]["male"]["by_finding"][p.names[0]]["auroc"] is not None


def test_the_originals_definition_by_brute_force(predictions):
    masks = groups_of(predictions, with_unknown=True)["sex"]
    assert list(masks) == ["female", "male", "unknown"]
    sweep = Sweep(Resampler.of_records(len(predictions), 0), 6)
    swept = bootstrap(predictions.labels, predictions.scores, THRESHOLDS, sweep, {}, masks)
    found = compare_groups(masks, swept.groups, predictions.names, definition="original")
    counts = sweep.counts(0, 7)
    drawn = []
    for row in counts:
        gaps = []
        for j in range(5):
            tpr = []
            for mask in masks.values():
                use = mask & (predictions.labels[:, j] == 1)
                called = predictions.scores[:, j] >= np.float32(THRESHOLDS[j])
                n = row[use].sum()
                tpr.append((row * called)[use].sum() / n if n else 0.0)
            gaps.append(np.mean([abs(a - b) for a in tpr for b in tpr]))
        drawn.append(np.mean(gaps))
    part = found["tpr_difference"]
    assert part["value"] == pytest.approx(drawn[0], abs=1e-12)
    assert [part["low"], part["high"]] == pytest.approx(list(np.percentile(drawn[1:], [2.5, 97.5])))


@pytest.mark.real
@pytest.mark.parametrize(
    ("groups", "case", "shrunk"), [("g2", "sex_binary", 1 / 2), ("g3", "age3_binary", 2 / 3)]
)
def test_golden_fairness_by_the_originals_definition_and_by_ours(shared, groups, case, shrunk):
    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "metrics_golden.json").read_text())["fair"]
    with np.load(folder / "metrics_synth.npz") as data, np.load(folder / "metrics_groups.npz") as g:
        labels, group, called = data["y"].astype(np.int8), g[groups], g["pb"]
    masks = {str(k): group == k for k in np.unique(group)}
    sweep = Sweep(Resampler.of_records(len(labels), 0), 1)
    swept = bootstrap(labels, called.astype(float), np.full(5, 0.5), sweep, {}, masks)
    names = [str(j) for j in range(5)]
    original = compare_groups(masks, swept.groups, names, definition="original")
    for k, rate in enumerate(("tpr", "fpr")):
        # its definition, self-pairs included, reproduces its number
        value = original[f"{rate}_difference"]["value"]
        published = golden[f"{case}_micro"][f"{rate}_diff_mean"]
        assert value == pytest.approx(published, abs=1e-8)
        # without self-pairs the mean over pairs is larger, by a factor that only counts groups
        assert value / shrunk == pytest.approx(golden["true_mean_abs_pairwise"][case][k], abs=1e-8)
    ours = compare_groups(masks, swept.groups, names)
    assert ours["tpr_difference"]["value"] > original["tpr_difference"]["value"]
