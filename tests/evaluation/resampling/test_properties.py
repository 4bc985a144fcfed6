"""Random tables with everything at once, against scikit-learn on repeated records."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)


def draw(seed: int, n: int, decimals: int, dtype: type) -> Predictions:
    """Ties, a rare class, one never seen, unknown labels, repeated patients, one-class groups."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < [0.5, 0.06, 0.9, 0.0]).astype(np.int8)
    labels[rng.random(labels.shape) < 0.15] = -1
    labels[0, 0], labels[1, 0] = 1, 0
    return Predictions(
        names=("common", "rare", "usual", "never"),
        labels=labels,
        scores=np.round(rng.random((n, 4)), decimals).astype(dtype),
        record_id=np.array([f"r{i}" for i in range(n)], dtype=object),
        patient_id=np.array([f"p{i}" for i in rng.integers(0, max(1, n // 2), n)], dtype=object),
        age=rng.integers(18, 99, n).astype(float),
        sex=rng.choice(np.array(["female", "male", "unknown"], dtype=object), n),
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 80),
    decimals=st.sampled_from([0, 1, 9]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_table_gives_scikit_learns_values_and_percentiles(seed, n, decimals, dtype):
    p = draw(seed, n, decimals, dtype)
    resamples = 7
    found = evaluate(p, None, Resampling(resamples, seed))
    counts = Resampler.of_patients(p.patient_id, seed).counts(0, resamples)
    rows = [np.arange(n)] + [np.repeat(np.arange(n), c) for c in counts]
    parts = [(found["findings"][name], [j]) for j, name in enumerate(p.names)]
    for part, columns in [*parts, (found["micro"], [0, 1, 2, 3])]:
        values = {"auroc": [], "auprc": [], "brier": [], "f1": []}
        for at in rows:
            y, s = p.labels[at][:, columns].ravel(), p.scores[at][:, columns].ravel()
            y, s = y[y >= 0], s[y >= 0].astype(float)
            both = len(set(y.tolist())) == 2
            values["auroc"].append(roc_auc_score(y, s) if both else np.nan)
            values["auprc"].append(average_precision_score(y, s) if y.any() else np.nan)
            values["brier"].append(np.mean((s - y) ** 2) if len(y) else np.nan)
            called = s >= 0.5
            some = len(y) and (y.any() or called.any())
            values["f1"].append(f1_score(y, called, zero_division=0) if some else np.nan)
            if both:
                assert values["brier"][-1] == pytest.approx(brier_score_loss(y, s), abs=1e-12)
        for metric, own in values.items():
            estimate, drawn = part[metric], np.array(own[1:])
            defined = drawn[~np.isnan(drawn)]
            assert estimate["degenerate"] == pytest.approx(np.isnan(drawn).mean())
            if np.isnan(own[0]):
                assert estimate["value"] is None
            else:
                assert estimate["value"] == pytest.approx(own[0], abs=1e-12)
            if len(defined):
                ends = list(np.percentile(defined, [2.5, 97.5]))
                assert [estimate["low"], estimate["high"]] == pytest.approx(ends, abs=1e-12)
            else:
                assert estimate["low"] is None


def test_duplicated_records_of_a_patient_change_no_interval():
    """A table and the same table with every record twice draw the same patients."""
    p = draw(3, 60, 2, np.float64)
    twice = Predictions(
        p.names,
        *(np.concatenate([a, a]) for a in (p.labels, p.scores)),
        np.array([f"r{i}" for i in range(120)], dtype=object),
        *(np.concatenate([a, a]) for a in (p.patient_id, p.age, p.sex)),
    )
    once, again = evaluate(p, None, Resampling(30)), evaluate(twice, None, Resampling(30))
    for metric, estimate in once["macro"].items():
        for key in ("value", "low", "high", "degenerate"):
            assert again["macro"][metric][key] == pytest.approx(estimate[key], abs=1e-12)
    narrow = evaluate(twice, None, Resampling(30, cluster=None))["macro"]["auroc"]
    wide = once["macro"]["auroc"]
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]


def test_weight_column_is_read_checked_and_used(tmp_path):
    p = draw(5, 40, 2, np.float64)
    path = tmp_path / "p.parquet"

    def written(weight):
        write_predictions(
            path,
            Predictions(
                names=p.names,
                labels=p.labels,
                scores=p.scores,
                record_id=p.record_id,
                patient_id=p.patient_id,
                age=p.age,
                sex=p.sex,
                extra={"site": ["a"] * 40},
                weight=weight,
            ),
        )
        return read_predictions(path)

    weight = np.linspace(0, 2, 40)
    table = written(weight)
    assert table.weight is not None
    np.testing.assert_array_equal(table.weight, weight)
    assert list(table.extra) == ["site"]
    known = p.labels[:, 0] >= 0
    expected = roc_auc_score(p.labels[known, 0], p.scores[known, 0], sample_weight=weight[known])
    found = evaluate(table, None, Resampling(3, interval="bca"))
    assert found["findings"]["common"]["auroc"]["value"] == pytest.approx(expected, abs=1e-12)
    for bad, says in (
        (-weight, "the value -"),
        (weight * np.nan, "nan in row 0"),
        (weight * 0, "every weight is 0"),
    ):
        with pytest.raises(UserError, match=says):
            written(bad)
