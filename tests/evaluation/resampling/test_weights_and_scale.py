"""Weighted records, slices, small blocks of memory, several devices, many findings."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling import ranking, walk
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap, bootstrap_ranking
from deepecg_jax.evaluation.resampling.devices import choose_devices
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep
from deepecg_jax.evaluation.resampling.resampling import Resampling


def small(seed, n=60, findings=3, decimals=1):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, findings)) < np.linspace(0.05, 0.9, findings)).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = -1
    scores = np.round(rng.random((n, findings)) * 0.7 + 0.3 * (labels == 1), decimals)
    weights = rng.choice([0.0, 1e-4, 0.3, 1.0, 7.5, 1e6], n)
    return labels, scores, weights, np.array([f"p{i}" for i in rng.integers(0, n // 2, n)])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([0, 1, 12]))
def test_weights_equal_scikit_learns_sample_weight_in_every_resample(seed, decimals):
    labels, scores, weights, patients = small(seed, decimals=decimals)
    resampler = Resampler.of_patients(patients, seed)
    sweep = Sweep(resampler, 3)
    swept = bootstrap(labels, scores, np.full(3, 0.5), sweep, {"": [0, 1, 2]}, {}, weights=weights)
    for r, counts in enumerate(sweep.counts(0, 4)):
        w = np.repeat((counts * weights)[:, None], 3, axis=1)
        columns = [(labels[:, [j]], scores[:, [j]], w[:, [j]]) for j in range(3)]
        parts = [(swept.findings, j, *column) for j, column in enumerate(columns)]
        for part, j, *arrays in [*parts, (swept.pools[""], 0, labels, scores, w)]:
            use = (arrays[0] >= 0) & (arrays[2] > 0)
            y, s, v = (a[use] for a in arrays)
            found = {metric: values[r, j] for metric, values in metric_values(part).items()}
            expected = dict.fromkeys(found, np.nan)
            if len(y):
                cells = confusion_matrix(y, s >= 0.5, sample_weight=v, labels=[0, 1]).ravel()
                tn, fp, fn, tp = cells
                with np.errstate(invalid="ignore"):
                    expected |= {
                        "f1": 2 * tp / (2 * tp + fp + fn),
                        "sensitivity": tp / (tp + fn),
                        "specificity": tn / (tn + fp),
                        "ppv": tp / (tp + fp),
                        "npv": tn / (tn + fn),
                        "accuracy": (tp + tn) / cells.sum(),
                        "brier": brier_score_loss(y, s, sample_weight=v),
                    }
                if y.any():
                    expected["auprc"] = average_precision_score(y, s, sample_weight=v)
                    if not y.all():
                        expected["auroc"] = roc_auc_score(y, s, sample_weight=v)
            for metric, value in expected.items():
                assert found[metric] == pytest.approx(value, abs=1e-9, nan_ok=True), metric


def test_whole_weights_are_repeated_records(predictions):
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, len(predictions))
    at = np.repeat(np.arange(len(predictions)), weight)
    repeated = dataclasses.replace(
        predictions,
        labels=predictions.labels[at],
        scores=predictions.scores[at],
        record_id=np.array([f"r{i}" for i in range(len(at))], dtype=object),
        patient_id=predictions.patient_id[at],
        age=predictions.age[at],
        sex=predictions.sex[at],
    )
    weighted = dataclasses.replace(predictions, weight=weight.astype(float))
    a, b = evaluate(repeated, None, Resampling(20)), evaluate(weighted, None, Resampling(20))
    assert (b["weighted"], b["n_records"]) == (True, len(predictions))
    for part in ("macro", "micro"):
        for metric, estimate in a[part].items():
            for key in ("value", "low", "high"):
                assert b[part][metric][key] == pytest.approx(estimate[key], abs=1e-12)
    for group in ("female", "male"):
        x, y = (m["fairness"]["sex"]["groups"][group] for m in (a, b))
        assert y["observed_expected"] == pytest.approx(x["observed_expected"], abs=1e-12)
        assert y["n"] < x["n"]


def test_slices_by_score_change_nothing(monkeypatch):
    labels, scores, _, _ = small(3, n=700, findings=4, decimals=2)
    labels[:, 3] = np.where(labels[:, 3] >= 0, 0, -1)
    labels[scores[:, 3].argmax(), 3] = 1
    sweep = Sweep(Resampler.of_records(700, 0), 5)

    def run():
        swept = bootstrap(
            labels, scores, np.full(4, 0.5), sweep, {"": range(4)}, {"half": scores[:, 0] < 0.5}
        )
        parts = [swept.findings, swept.pools[""], swept.groups["half"]]
        return [np.concatenate([p.auroc, p.auprc]) for p in parts]

    whole = run()
    monkeypatch.setattr(ranking, "SLICE", 64)
    monkeypatch.setattr(ranking, "_SAMPLE", 200)
    pool = ranking.Ranking(labels, scores, range(4))
    assert len(list(pool.tables())) > 8
    for a, b in zip(whole, run(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_small_memory_gives_the_same_numbers_in_smaller_blocks(monkeypatch):
    labels, scores, _, _ = small(4, n=500)
    counts = np.random.default_rng(0).poisson(1.0, (100, 500))
    whole = bootstrap_ranking(labels, scores, counts)
    assert walk.lanes_for(100, 500) == 128
    monkeypatch.setattr(walk, "COUNTS_BYTES", 512 * 32)
    monkeypatch.setattr(walk, "TABLE_BYTES", 0)
    assert walk.lanes_for(100, 500) == 64
    for a, b in zip(whole, bootstrap_ranking(labels, scores, counts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_lanes_are_bounded_by_memory():
    assert walk.lanes_for(1000, 100_000) == 1024
    assert walk.lanes_for(1000, 100_000, itemsize=8) == 256
    assert walk.lanes_for(1000, 10_000_000) == 64
    assert walk.lanes_for(1000, 10_000_000, devices=8) == 512
    assert walk.lanes_for(5, 100, devices=6) % 6 == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_eight_devices_give_the_same_bits_as_one(predictions, weighted):
    p = predictions
    if weighted:
        p = dataclasses.replace(p, weight=np.random.default_rng(0).random(len(p)))
    eight = choose_devices(0)
    assert eight is not None
    assert len(eight) == 8
    one = evaluate(p, None, Resampling(40))
    assert evaluate(p, None, Resampling(40, devices=eight)) == one


def test_the_number_of_devices_is_checked():
    assert choose_devices(1) is None
    assert len(choose_devices(3) or []) == 3
    with pytest.raises(UserError, match=f"there are {len(jax.local_devices())}"):
        choose_devices(99)


def test_five_hundred_findings():
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 500)) < 0.2).astype(np.int8)
    scores = rng.random((120, 500)).astype(np.float32)
    sweep = Sweep(Resampler.of_records(120, 0), 2)
    swept = bootstrap(labels, scores, np.full(500, 0.5), sweep, {"": range(500)}, {})
    expected = roc_auc_score(labels.ravel(), scores.ravel())
    assert swept.pools[""].auroc[0, 0] == pytest.approx(expected, abs=1e-12)
    assert swept.findings.auroc[0, 499] == pytest.approx(
        roc_auc_score(labels[:, 499], scores[:, 499]), abs=1e-12
    )


def test_micro_sums_beyond_float32_and_int32_are_exact():
    """Four findings of a few records that are drawn very often: 2^24 and 2^31 are far behind."""
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 4)) < 0.4).astype(np.int8)
    scores = np.round(rng.random((300, 4)), 1)
    counts = rng.integers(2**22, 2**24, (3, 300))
    flat = [np.repeat(a, 1, axis=0).reshape(-1, 1) for a in (labels, scores)]
    found = bootstrap_ranking(*flat, np.repeat(counts, 4, axis=1))

    class Fixed(Sweep):
        def counts(self, start, stop):
            return np.concatenate([np.ones((1, 300), int), counts]).astype(np.uint32)[start:stop]

    sweep = Fixed(Resampler.of_records(300, 0), 3)
    swept = bootstrap(labels, scores, np.full(4, 0.5), sweep, {"": range(4)}, {})
    assert counts.sum(axis=1).min() * 4 > 2**31
    for r in range(3):
        w = np.repeat(counts[r][:, None], 4, axis=1).ravel()
        y, s = labels.ravel(), scores.ravel()
        assert swept.pools[""].tallies.known[1 + r, 0] == w.sum()
        assert swept.pools[""].tallies.positive[1 + r, 0] == w[y == 1].sum()
        expected = roc_auc_score(y, s, sample_weight=w)
        assert swept.pools[""].auroc[1 + r, 0] == pytest.approx(expected, abs=1e-13)
        assert swept.pools[""].auroc[1 + r, 0] == found[0][r, 0]
        expected = average_precision_score(y, s, sample_weight=w)
        assert swept.pools[""].auprc[1 + r, 0] == pytest.approx(expected, abs=1e-13)
        tp = w[(y == 1) & (s >= 0.5)].sum()
        assert metric_values(swept.pools[""])["sensitivity"][1 + r, 0] == tp / w[y == 1].sum()
