"""Two models on the same records: joining, differences, permutations, reclassification, files."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.comparison.compare import bootstrap_p, compare
from deepecg_jax.evaluation.comparison.delong import delong
from deepecg_jax.evaluation.comparison.multiplicity import holm
from deepecg_jax.evaluation.comparison.permutation import Swaps, permutation_p, permuted
from deepecg_jax.evaluation.comparison.result_files import write_comparison
from deepecg_jax.evaluation.discrimination.decision_curve import (
    PROBABILITIES,
    net_benefit,
    treat_all,
)
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.report.comparison_table import print_comparison
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.pairing import pair

RESAMPLES = 30


@pytest.fixture(scope="module")
def other(predictions):
    """A second model: noisier scores on another scale, records in another order, some missing."""
    rng = np.random.default_rng(1)
    noisy = np.clip(0.5 * predictions.scores + 0.4 * rng.random(predictions.scores.shape), 0, 1)
    order = rng.permutation(len(predictions))[:-10]
    p = dataclasses.replace(predictions, scores=noisy.astype(np.float64))
    return take(p, order)


def take(p, rows):
    return dataclasses.replace(
        p,
        **{
            name: getattr(p, name)[rows]
            for name in ("labels", "scores", "record_id", "patient_id", "age", "sex")
        },
    )


@pytest.fixture(scope="module")
def joined(predictions, other):
    return pair(predictions, other)


@pytest.fixture(scope="module")
def compared(joined):
    return compare(joined, resampling=Resampling(RESAMPLES, 2), permutations=RESAMPLES)


def test_joined_by_record(predictions, other, joined):
    assert joined.about["n_matched"] == 390
    assert (joined.about["only_in_a"], joined.about["only_in_b"]) == (10, 0)
    row = dict(zip(other.record_id, other.scores, strict=True))
    for record, scores in zip(joined.table.record_id, joined.b_scores, strict=True):
        np.testing.assert_array_equal(scores, row[record])


def test_what_cannot_be_compared_is_refused(predictions, other):
    labels = other.labels.copy()
    labels[0, 1] = 1 - max(labels[0, 1], 0)
    row = list(predictions.record_id).index(other.record_id[0])
    known = predictions.labels.copy()
    known[row, 1] = 1 - labels[0, 1]
    a, b = dataclasses.replace(predictions, labels=known), dataclasses.replace(other, labels=labels)
    with pytest.raises(UserError, match=r"disagree on 1 labels \(first 'Left bundle branch block'"):
        pair(a, b)
    ids = other.patient_id.copy()
    ids[3] = "else"
    with pytest.raises(UserError, match="belongs to patient"):
        pair(predictions, dataclasses.replace(other, patient_id=ids))
    renamed = np.array([f"x{i}" for i in range(len(other))], dtype=object)
    with pytest.raises(UserError, match="no record_id in common"):
        pair(predictions, dataclasses.replace(other, record_id=renamed))
    with pytest.raises(UserError, match="no finding in common"):
        pair(predictions, dataclasses.replace(other, names=("1", "2", "3", "4", "5")))
    a = dataclasses.replace(predictions, weight=np.ones(400))
    with pytest.raises(UserError, match="different weights"):
        pair(a, dataclasses.replace(other, weight=np.full(390, 2.0)))


def test_labels_of_one_file_are_enough(predictions, other):
    silent = dataclasses.replace(other, labels=np.full_like(other.labels, -1))
    np.testing.assert_array_equal(
        pair(predictions, silent).table.labels, pair(predictions, other).table.labels
    )


def test_values_and_intervals_are_those_of_the_paired_resamples(joined, compared):
    table = joined.table
    b_table = dataclasses.replace(table, scores=joined.b_scores)
    alone = [evaluate(t, None, Resampling(RESAMPLES, 2)) for t in (table, b_table)]
    for name in ("macro", "micro"):
        for metric, values in compared[name]["metrics"].items():
            for model, metrics in zip("ab", alone, strict=True):
                for key in ("value", "low", "high", "degenerate"):
                    expected = metrics[name][metric][key]
                    assert values[model][key] == pytest.approx(expected, abs=1e-15)
            gap = values["a"]["value"] - values["b"]["value"]
            assert values["difference"]["value"] == pytest.approx(gap, abs=1e-15)
    counts = Resampler.of_patients(table.patient_id, 2).counts(0, RESAMPLES)
    known = table.labels[:, 0] >= 0
    y = table.labels[known, 0]
    drawn = [
        roc_auc_score(y, table.scores[known, 0], sample_weight=w[known])
        - roc_auc_score(y, joined.b_scores[known, 0], sample_weight=w[known])
        for w in counts
    ]
    found = compared["findings"]["Afib"]
    expected = list(np.percentile(drawn, [2.5, 97.5]))
    assert [found["difference"]["low"], found["difference"]["high"]] == pytest.approx(expected)
    assert found["a"] - found["b"] == pytest.approx(found["difference"]["value"], abs=1e-15)
    smaller = min((np.array(drawn) <= 0).sum(), (np.array(drawn) >= 0).sum())
    assert found["p_bootstrap"] == pytest.approx(min(1, 2 * (1 + smaller) / (1 + RESAMPLES)))


def test_delong_and_its_adjustment(joined, compared):
    table = joined.table
    cluster = Resampler.of_patients(table.patient_id, 0).cluster_of
    ps = []
    for j, name in enumerate(table.names[:4]):
        known = table.labels[:, j] >= 0
        arrays = table.labels[known, j] == 1, table.scores[known, j], joined.b_scores[known, j]
        plain, clustered = delong(*arrays), delong(*arrays, cluster[known])
        assert plain is not None
        assert clustered is not None
        found = compared["findings"][name]
        assert (found["p_delong"], found["p_delong_clustered"]) == (plain.p, clustered.p)
        ps.append(clustered.p)
    assert compared["adjusted"]["findings"] == {"p": "p_delong_clustered", "family": 4}
    adjusted = [compared["findings"][name]["p_holm"] for name in table.names[:4]]
    assert adjusted == pytest.approx(list(holm(np.array(ps))))
    assert compared["findings"]["never"]["p_holm"] is None


def test_permutations_swap_ranks_decisions_and_scores_patient_by_patient(joined):
    table, b = joined.table, joined.b_scores
    cluster = Resampler.of_patients(table.patient_id, 0)
    swaps = Swaps(cluster.cluster_of, cluster.n_clusters, 4)
    limits = np.full(5, 0.4), np.full(5, 0.3)
    one, two = permuted(table.labels, (table.scores, b), limits, swaps, 3, {"": range(5)})
    swapped = swaps.rows(0, 4)
    assert swapped[0].sum() == 0
    assert 0 < swapped[1].mean() < 1
    known = table.labels[:, 0] >= 0
    y = table.labels[known, 0]
    ranks = [rankdata(s[known, 0]) for s in (table.scores, b)]
    every = table.labels >= 0
    flat = table.labels[every]
    flat_ranks = [rankdata(s[every]) for s in (table.scores, b)]
    for r in range(4):
        s = swapped[r][known]
        mixed = np.where(s, ranks[1], ranks[0]), np.where(s, ranks[0], ranks[1])
        for part, own in zip((one, two), mixed, strict=True):
            assert part.findings.auroc[r, 0] == pytest.approx(roc_auc_score(y, own), abs=1e-12)
            expected = average_precision_score(y, own)
            assert part.findings.auprc[r, 0] == pytest.approx(expected, abs=1e-12)
        s = np.broadcast_to(swapped[r][:, None], every.shape)[every]
        own = np.where(s, flat_ranks[1], flat_ranks[0])
        assert one.pools[""].auroc[r, 0] == pytest.approx(roc_auc_score(flat, own), abs=1e-12)
        s = swapped[r][known]
        raw = np.where(s, b[known, 0], table.scores[known, 0].astype(float))
        sums = one.findings.tallies
        brier = sums.squared_error[r, 0] / sums.known[r, 0]
        assert brier == pytest.approx(brier_score_loss(y, raw), abs=1e-12)
        called = np.where(s, b[known, 0] >= 0.3, table.scores[known, 0] >= np.float32(0.4))
        assert sums.true_positive[r, 0] == (called & (y == 1)).sum()


def test_permutation_p():
    assert permutation_p(np.array([0.5, 0.1, -0.6, 0.5, np.nan])) == 3 / 4
    assert permutation_p(np.array([np.nan, 0.1])) is None
    assert bootstrap_p(np.array([0.5, 0.4, 0.6, 0.1])) == 0.5
    assert bootstrap_p(np.array([0.5, np.nan])) is None


def test_permutation_p_values_are_uniform_without_a_difference():
    """80 small studies of two equally good models, three records a patient."""
    rng = np.random.default_rng(2024)
    studies, n = 80, 90
    patient = np.repeat(np.arange(n // 3), 3)
    labels = np.repeat((np.arange(n // 3) % 2)[:, None], 3, axis=0).astype(np.int8)
    labels = np.repeat(labels, studies, axis=1)
    shared_part = rng.normal(size=(n // 3, studies))[patient] + labels

    def model():
        own = 0.7 * rng.normal(size=(n // 3, studies))[patient] + 0.3 * rng.normal(
            size=(n, studies)
        )
        return 1 / (1 + np.exp(-shared_part - own))

    swaps = Swaps(patient, n // 3, 0)
    limits = np.full(studies, 0.5), np.full(studies, 0.5)
    one, two = permuted(labels, (model(), model()), limits, swaps, 99, {})
    p = [permutation_p(d) for d in (one.findings.auroc - two.findings.auroc).T]
    assert np.mean(np.array(p) <= 0.2) == pytest.approx(0.2, abs=3 * np.sqrt(0.16 / studies))
    # as if records were independent, too many are "significant"
    single = Swaps(np.arange(n), n, 0)
    one, two = permuted(labels, (model(), model()), limits, single, 99, {})
    p = [permutation_p(d) for d in (one.findings.auroc - two.findings.auroc).T]
    assert np.mean(np.array(p) <= 0.2) > 0.35


def test_reclassification_equals_its_definition(joined, compared):
    table, b = joined.table, joined.b_scores
    for j, name in enumerate(table.names[:4]):
        known = table.labels[:, j] >= 0
        event = table.labels[known, j] == 1
        old, new = table.scores[known, j].astype(float), b[known, j]
        up, down = (new >= 0.5) & (old < 0.5), (new < 0.5) & (old >= 0.5)
        rise, fall = new > old, new < old
        expected = {
            "nri_events": up[event].mean() - down[event].mean(),
            "nri_nonevents": down[~event].mean() - up[~event].mean(),
            "continuous_nri_events": rise[event].mean() - fall[event].mean(),
            "continuous_nri_nonevents": fall[~event].mean() - rise[~event].mean(),
            "idi": (new[event].mean() - old[event].mean())
            - (new[~event].mean() - old[~event].mean()),
        }
        found = compared["findings"][name]["reclassification"]
        for part, value in expected.items():
            assert found[part]["value"] == pytest.approx(value, abs=1e-12), part
            assert found[part]["low"] <= found[part]["high"]
        total = found["nri_events"]["value"] + found["nri_nonevents"]["value"]
        assert found["nri"]["value"] == pytest.approx(total, abs=1e-12)


def test_net_benefit_equals_its_definition():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, 300)
    scores, weights = np.round(rng.random(300), 2).astype(np.float32), rng.random(300)
    for w in (None, weights):
        found, everybody = (
            net_benefit(labels, scores, PROBABILITIES, w),
            treat_all(labels, PROBABILITIES, w),
        )
        own = np.ones(300) if w is None else w
        total = own[labels >= 0].sum()
        for k, t in enumerate(PROBABILITIES):
            called = scores >= np.float32(t)
            tp, fp = (own[called & (labels == y)].sum() for y in (1, 0))
            assert found[k] == pytest.approx((tp - fp * t / (1 - t)) / total, abs=1e-12)
            tp, fp = (own[labels == y].sum() for y in (1, 0))
            assert everybody[k] == pytest.approx((tp - fp * t / (1 - t)) / total, abs=1e-12)


@pytest.mark.real
def test_golden_net_benefit(shared):
    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "af_stats_golden.json").read_text())
    with np.load(folder / "metrics_synth.npz") as data:
        labels, scores = data["y"][:, 1], data["p1"][:, 1]
    at = golden["net_benefit_at"]
    found = net_benefit(labels, scores, np.array([float(t) for t in at]))
    np.testing.assert_allclose(found, list(at.values()), atol=1e-12)


def test_a_model_compared_with_itself(predictions):
    same = compare(pair(predictions, predictions), resampling=Resampling(10), permutations=10)
    for entry in (same["macro"], same["micro"], same["findings"]["Afib"]):
        assert entry["difference"]["value"] == 0.0
        assert (entry["difference"]["low"], entry["difference"]["high"]) == (0.0, 0.0)
        assert (entry["p_bootstrap"], entry["p_permutation"], entry["p_holm"]) == (1, 1, 1)


def test_options_files_and_table(joined, tmp_path):
    resampling = Resampling(12, interval="bca", stratify="sex")
    limits = Thresholds(dict.fromkeys(joined.table.names, 0.3), "t.json")
    found = compare(joined, (limits, Thresholds()), resampling, permutations=0)
    assert found["findings"]["Afib"]["threshold_a"] == 0.3
    assert (found["thresholds_a"], found["thresholds_b"]) == ("t.json", "0.5 (none given)")
    assert found["macro"]["p_permutation"] is None
    assert found["stratify"]["column"] == "sex"
    write_comparison(found, tmp_path / "new")
    assert json.loads((tmp_path / "new" / "comparison.json").read_text()) == found
    with (tmp_path / "new" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * (5 + 2 + 2 * len(found["categories"]))
    assert float(rows[0]["difference"]) == found["findings"]["Afib"]["difference"]["value"]
    console = Console(width=90, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_comparison(found, console)
    text = console.export_text()
    assert "macro average" in text
    assert "10 ECGs only in A" in text
    assert max(map(len, text.splitlines())) <= 90


def test_weighted_records(joined):
    weight = np.random.default_rng(0).integers(1, 3, len(joined.table)).astype(float)
    table = dataclasses.replace(joined.table, weight=weight)
    found = compare(
        dataclasses.replace(joined, table=table), resampling=Resampling(10), permutations=10
    )
    entry = found["findings"]["plain"]
    known = table.labels[:, 3] >= 0
    a, b = (
        roc_auc_score(table.labels[known, 3], s[known, 3], sample_weight=weight[known])
        for s in (table.scores, joined.b_scores)
    )
    assert (entry["a"], entry["b"]) == pytest.approx((a, b), abs=1e-12)
    assert entry["p_delong"] is None
    assert found["adjusted"]["findings"]["p"] == "p_bootstrap"


def test_two_runs_are_equal_and_devices_do_not_matter(joined, compared):
    import jax

    again = compare(joined, resampling=Resampling(RESAMPLES, 2), permutations=RESAMPLES)
    assert again == compared
    resampling = Resampling(RESAMPLES, 2, devices=jax.local_devices())
    assert compare(joined, resampling=resampling, permutations=RESAMPLES) == compared
