"""metrics.json: the schema, every number against an independent computation, determinism."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
from deepecg_jax.evaluation.evaluate import evaluate, write_metrics
from deepecg_jax.evaluation.metrics.table import names as metric_names
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.evaluation.resampling.defined import macro
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import interval, macro_interval
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.finding_sets import category_members
from deepecg_jax.labels.findings import FINDINGS

RESAMPLES = 40
LIMITS = {name: 0.3 + 0.1 * i for i, name in enumerate(("Afib", "Left bundle branch block"))}
LIMITS |= {"superclass:NORM": 0.5, "plain": 0.6, "never": 0.5}


@pytest.fixture(scope="module")
def metrics(predictions):
    return evaluate(predictions, Thresholds(LIMITS, "t.json"), Resampling(RESAMPLES, 3))


def test_schema(predictions, metrics):
    assert list(metrics) == [
        "schema",
        "n_records",
        "n_patients",
        "resamples",
        "seed",
        "cluster",
        "interval",
        "stratify",
        "weighted",
        "thresholds",
        "threshold_fit",
        "findings",
        "macro",
        "micro",
        "categories",
        "groups",
        "fairness",
        "calibration",
        "survival",
    ]
    assert (metrics["schema"], metrics["n_records"], metrics["resamples"]) == (1, 400, RESAMPLES)
    assert metrics["n_patients"] == len(set(predictions.patient_id))
    assert (metrics["seed"], metrics["cluster"], metrics["survival"]) == (3, "patient_id", {})
    for name, finding in metrics["findings"].items():
        assert list(finding) == ["n", "n_positive", "threshold", "confusion", *metric_names()]
        assert finding["threshold"] == LIMITS[name]
        for metric in metric_names():
            assert list(finding[metric]) == ["value", "low", "high", "degenerate"]
    for part in (metrics["macro"], metrics["micro"], *metrics["categories"].values()):
        for estimates in (part["macro"], part["micro"]) if "macro" in part else (part,):
            assert list(estimates) == metric_names()
            assert all(e["low"] <= e["value"] <= e["high"] for e in estimates.values())
    assert set(metrics["categories"]) == {
        "Conduction Disorder",
        "Rhythm Disorders",
        "superclass",
        "other",
    }
    for part in metrics["fairness"].values():
        for difference in ("tpr", "fpr", "equalized_odds", "auroc"):
            assert {"value", "low", "high", "by_finding"} <= set(part[f"{difference}_difference"])
        for group in part["groups"].values():
            assert {"n", "auroc", "tpr", "fpr"} <= set(group)


def test_point_values_equal_scikit_learn(predictions, metrics):
    p, values = predictions, {"auroc": [], "auprc": [], "f1": []}
    for j, name in enumerate(p.names[:4]):
        known = p.labels[:, j] >= 0
        y, s = p.labels[known, j], p.scores[known, j]
        values["auroc"].append(roc_auc_score(y, s))
        values["auprc"].append(average_precision_score(y, s))
        values["f1"].append(f1_score(y, s >= np.float32(LIMITS[name])))
        finding = metrics["findings"][name]
        assert (finding["n"], finding["n_positive"]) == (known.sum(), y.sum())
        for metric, own in values.items():
            assert finding[metric]["value"] == pytest.approx(own[-1], abs=1e-12)
    for metric, own in values.items():
        assert metrics["macro"][metric]["value"] == pytest.approx(np.mean(own), abs=1e-12)
    known = p.labels >= 0
    called = p.scores >= np.array(list(LIMITS.values()), np.float32)
    flat = p.labels[known], p.scores[known]
    assert metrics["micro"]["auroc"]["value"] == pytest.approx(roc_auc_score(*flat), abs=1e-12)
    expected = average_precision_score(*flat)
    assert metrics["micro"]["auprc"]["value"] == pytest.approx(expected, abs=1e-12)
    expected = f1_score(flat[0], called[known])
    assert metrics["micro"]["f1"]["value"] == pytest.approx(expected, abs=1e-12)


def test_intervals_are_percentiles_over_patient_resamples(predictions, metrics):
    p = predictions
    counts = Resampler.of_patients(p.patient_id, 3).counts(0, RESAMPLES)
    drawn = np.array(
        [
            [
                roc_auc_score(p.labels[k, j], p.scores[k, j], sample_weight=row[k])
                for j in range(4)
                for k in [p.labels[:, j] >= 0]
            ]
            for row in counts
        ]
    )
    for column, part in (
        (drawn[:, 0], metrics["findings"]["Afib"]["auroc"]),
        (drawn.mean(axis=1), metrics["macro"]["auroc"]),
    ):
        expected = list(np.percentile(column, [2.5, 97.5]))
        assert [part["low"], part["high"]] == pytest.approx(expected, abs=1e-12)


def test_a_finding_never_seen_has_no_auroc_and_is_in_no_macro_mean(metrics):
    never = metrics["findings"]["never"]
    assert never["n_positive"] == 0
    assert never["auroc"] == {"value": None, "low": None, "high": None, "degenerate": 1.0}
    assert never["sensitivity"]["value"] is None
    assert 0 < never["specificity"]["value"] <= 1
    four = [metrics["findings"][name]["specificity"]["value"] for name in list(LIMITS)[:4]]
    assert metrics["macro"]["specificity"]["value"] == pytest.approx(np.mean(four))


def test_two_runs_give_the_same_bytes_and_seed_and_cluster_matter(predictions, metrics, tmp_path):
    again = evaluate(predictions, Thresholds(LIMITS, "t.json"), Resampling(RESAMPLES, 3))
    write_metrics(metrics, tmp_path / "a.json")
    write_metrics(again, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == metrics
    other = evaluate(predictions, Thresholds(LIMITS, "t.json"), Resampling(RESAMPLES, 4))
    assert other["macro"]["auroc"]["low"] != metrics["macro"]["auroc"]["low"]
    assert other["macro"]["auroc"]["value"] == metrics["macro"]["auroc"]["value"]
    records = evaluate(predictions, None, Resampling(RESAMPLES, 3, cluster=None))
    assert records["cluster"] is None
    assert records["thresholds"] == "0.5 (none given)"
    assert records["findings"]["plain"]["threshold"] == 0.5


def test_clustered_intervals_are_wider_when_patients_repeat(predictions):
    copies = 6
    p = dataclasses.replace(
        predictions,
        labels=np.tile(predictions.labels, (copies, 1)),
        scores=np.tile(predictions.scores, (copies, 1)),
        record_id=np.array([f"r{i}" for i in range(copies * len(predictions))], dtype=object),
        patient_id=np.tile(predictions.patient_id, copies),
        age=np.tile(predictions.age, copies),
        sex=np.tile(predictions.sex, copies),
    )
    width = {}
    for cluster in ("patient_id", None):
        auroc = evaluate(p, None, Resampling(100, cluster=cluster))["micro"]["auroc"]
        width[cluster] = auroc["high"] - auroc["low"]
    assert width["patient_id"] > 1.8 * width[None]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"resamples": 0}, "resamples is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"cluster": "site"}, "cluster is 'site'"),
        ({"interval": "t"}, "interval is 't'"),
        ({"stratify": "patient_id"}, "Cannot stratify by patient_id"),
    ],
)
def test_bad_arguments(arguments, says):
    with pytest.raises(UserError, match=says):
        Resampling(**arguments)


def test_a_finding_without_threshold(predictions):
    with pytest.raises(UserError, match="t.json has no threshold for"):
        evaluate(predictions, Thresholds({"Afib": 0.5}, "t.json"))


def test_missing_patients_and_labels(predictions):
    ids = predictions.patient_id.copy()
    ids[5] = ""
    with pytest.raises(UserError, match=r"1 records have no patient_id \(first in row 5\)"):
        evaluate(dataclasses.replace(predictions, patient_id=ids))
    unlabelled = np.full_like(predictions.labels, -1)
    with pytest.raises(UserError, match="No finding has a known label"):
        evaluate(dataclasses.replace(predictions, labels=unlabelled))


def test_no_known_sex_or_age_leaves_empty_groups(predictions):
    p = dataclasses.replace(
        predictions,
        sex=np.full(len(predictions), "unknown", dtype=object),
        age=np.full(len(predictions), np.nan),
    )
    assert evaluate(p, None, Resampling(2))["fairness"]["sex"]["groups"] == {}


def test_categories():
    members = category_members(["Afib", "superclass:NORM", ":odd", "mine", "superclass:MI"])
    assert members == {"Rhythm Disorders": [0], "superclass": [1, 4], "other": [2, 3]}
    everything = category_members(FINDINGS)
    assert len(everything) == 6
    assert sum(map(len, everything.values())) == 78


def test_interval_skips_and_counts_what_is_undefined():
    found = interval(np.array([0.5, 0.1, np.nan, 0.3, np.nan]))
    assert found == {
        "value": 0.5,
        "low": pytest.approx(0.105),
        "high": pytest.approx(0.295),
        "degenerate": 0.5,
    }
    values = np.array([[0.2, 0.8], [0.4, 0.6], [0.4, np.nan]])
    both = np.array([[True, True], [True, False], [True, True]])
    np.testing.assert_array_equal(macro(values, both), [0.5, 0.4, 0.4])
    assert macro_interval(values, both)["incomplete"] == 1.0
    assert np.isnan(macro(np.full((2, 2), np.nan), np.ones((2, 2), bool))).all()


@pytest.mark.real
def test_golden_metrics_where_the_original_is_right_and_where_it_is_wrong(shared, predictions):
    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "metrics_golden.json").read_text())
    with np.load(folder / "metrics_synth.npz") as data:
        labels, scores, names = data["y"].astype(np.int8), data["p1"], data["names"]
    n = len(labels)
    p = dataclasses.replace(
        predictions,
        names=tuple(str(name) for name in names),
        labels=labels,
        scores=scores,
        record_id=np.array([f"r{i}" for i in range(n)], dtype=object),
        patient_id=np.array([f"p{i}" for i in range(n)], dtype=object),
        age=np.full(n, np.nan),
        sex=np.full(n, "unknown", dtype=object),
    )
    found = evaluate(p)
    original = golden["scores_from_probabilities"]
    for name in ("common", "mid", "rare", "tied"):
        for metric in ("auroc", "auprc"):
            value = found["findings"][name][metric]["value"]
            assert value == pytest.approx(golden["sklearn"][name][metric], abs=1e-12)
            assert value == pytest.approx(original[f"{name}_{metric}"], abs=1e-6)
        # The original applies a second sigmoid, so at 0.5 it calls every record positive.
        f1 = found["findings"][name]["f1"]["value"]
        assert f1 == pytest.approx(golden["plain_f1_at_0.5"][name], abs=1e-12)
        assert original[f"{name}_f1score"] == pytest.approx(golden["all_positive_f1"][name], 1e-5)
    micro = found["micro"]["auroc"]["value"]
    assert micro == pytest.approx(golden["sklearn_micro_ALL"], abs=1e-12)
    # The original's macro mean counts a finding without positives as AUROC 0.
    macro_value = found["macro"]["auroc"]["value"]
    assert original["ALL_macro_auroc"] == pytest.approx(macro_value * 4 / 5, abs=1e-6)
    # Its subsampling without replacement gives intervals that are too narrow.
    mid = found["findings"]["mid"]["auroc"]
    full = golden["ci_mid"]["bootstrap_full"]["ci"]
    narrow = np.ptp(golden["ci_mid"]["subsample70_noreplace"]["ci"])
    assert [mid["low"], mid["high"]] == pytest.approx(full, abs=0.003)
    assert narrow < 0.75 * (mid["high"] - mid["low"])
    # Its other resampling, 70 % of the records with replacement, makes them too wide. Both factors
    # are what theory says, within three standard errors of a deviation over 1,000 draws.
    counts = Resampler.of_records(n, 0).counts(0, 1000)
    own = bootstrap_auroc(labels[:, [1]], scores[:, [1]], counts).std(ddof=1)
    for kind, factor in (("subsample70_noreplace", 0.3 / 0.7), ("bootstrap70_replace", 1 / 0.7)):
        published = golden["ci_mid"][kind]["sd"]
        assert published / own == pytest.approx(np.sqrt(factor), rel=3 * np.sqrt(2 / 2000))
    # Its "micro F1", scikit-learn's average="micro" of one flat binary column, is the accuracy.
    flat, called = labels.ravel(), scores.ravel() >= 0.5
    as_published = f1_score(flat, called, average="micro")
    assert found["micro"]["accuracy"]["value"] == pytest.approx(as_published, abs=1e-12)
    assert found["micro"]["f1"]["value"] == pytest.approx(f1_score(flat, called), abs=1e-12)
    assert as_published > 2 * found["micro"]["f1"]["value"]


def test_an_undefined_number_is_never_written_unsaid(tmp_path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics({"schema": 1, "n_records": float("nan")}, tmp_path / "metrics.json")
    assert not list(tmp_path.iterdir())
