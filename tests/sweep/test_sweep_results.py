"""From predictions to tables and a page: seeds, patients and the reference kept apart."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from sweeps import plan_of

from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions
from deepecg_jax.sweep.planning.config import ReferenceConfig
from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.results.gather import Gatherer
from deepecg_jax.sweep.results.outcomes import UNKNOWN, Outcome
from deepecg_jax.sweep.results.page import build_page
from deepecg_jax.sweep.results.scores import Scores, scores_of
from deepecg_jax.sweep.results.summarise import effects_of, summaries_of
from deepecg_jax.sweep.results.write import write_sweep
from deepecg_jax.sweep.work.attempts import attempt
from deepecg_jax.sweep.work.job_folder import JobFolder

N = 120
SHARE = "finetune.data.label_share"


def predictions(seed: int, signal: float) -> Predictions:
    truth = np.random.default_rng(0)
    labels = (truth.random((N, 2)) < 0.4).astype(np.int8)
    labels[truth.random((N, 2)) < 0.05] = -1
    scores = np.random.default_rng(seed).random((N, 2)) * (1 - signal) + signal * (labels == 1)
    return Predictions(
        names=("Afib", "LBBB"),
        labels=labels,
        scores=scores,
        record_id=np.array([f"r{i}" for i in range(N)], object),
        patient_id=np.array([f"p{i // 2}" for i in range(N)], object),
        age=np.full(N, 50.0),
        sex=np.full(N, "female", object),
    )


def outcome(run: str, point: dict, seed: int, status="done") -> Outcome:
    job = f"runs/{run}{sorted(point.items())}{seed}"
    return Outcome(run, point, seed, False, status, "", UNKNOWN, 10, 2.0, None, "cpu", job)


def scores(sample: float, drawn: list[float], material: str = "m") -> Scores:
    return Scores(np.array([sample, *drawn]), material, 3, 3)


def test_scores_are_those_of_scikit_learn_on_the_same_resamples(tmp_path):
    table = predictions(1, 0.2)
    write_predictions(tmp_path / "p.parquet", table)
    found = scores_of(tmp_path / "p.parquet", Resampling(20, seed=4))
    counts = Resampling(20, seed=4).resampler(table.patient_id).counts(0, 20)
    expected = []
    for weights in (np.ones(N), *counts):
        each = []
        for j in range(2):
            known = (table.labels[:, j] >= 0) & (weights > 0)
            y, s = table.labels[known, j], table.scores[known, j]
            each.append(roc_auc_score(y, s, sample_weight=weights[known]))
        expected.append(np.mean(each))
    np.testing.assert_allclose(found.macro, expected, atol=1e-12)
    assert (found.n_records, found.n_patients) == (N, N // 2)
    assert found.material == scores_of(tmp_path / "p.parquet", Resampling(3)).material
    write_predictions(tmp_path / "q.parquet", replace(table, names=("Afib", "RBBB")))
    assert found.material != scores_of(tmp_path / "q.parquet", Resampling(3)).material


def test_seeds_and_patients_and_differences_by_hand():
    drawn = {
        "ref": ([0.70, 0.72], [[0.60, 0.80, 0.70], [0.66, 0.78, 0.72]]),
        "new": ([0.80, 0.76], [[0.70, 0.82, 0.79], [0.64, 0.80, 0.77]]),
    }
    outcomes = [outcome(run, {}, seed) for run in drawn for seed in (0, 1)]
    rows = [
        scores(sample, r) for s, all_r in drawn.values() for sample, r in zip(s, all_r, strict=True)
    ]
    (ref, new), notes = summaries_of(outcomes, rows, ReferenceConfig(run="ref"))
    assert notes == [] and ref.p is None and ref.difference == UNKNOWN
    assert new.mean == pytest.approx(0.78) and new.sd == pytest.approx(0.04 / np.sqrt(2))
    assert (new.seeds, new.failed, new.seconds, new.parameters) == (2, 0, 2.0, 10)
    means = [0.67, 0.81, 0.78]
    assert new.over_patients["value"] == pytest.approx(0.78)
    assert new.over_patients["low"] == pytest.approx(np.percentile(means, 2.5))
    # (new - ref) of the means over seeds in the sample, and in each resample
    differences = [0.04, 0.02, 0.07]
    assert new.difference["value"] == pytest.approx(0.07)
    assert new.difference["high"] == pytest.approx(np.percentile(differences, 97.5))
    assert new.p == pytest.approx(2 * 1 / 4) and new.p_holm == new.p
    assert new.difference_seeds == 2


def test_only_seeds_that_both_have_are_paired():
    outcomes = [outcome("ref", {}, 0), outcome("ref", {}, 1), outcome("new", {}, 0, "failed")]
    outcomes.append(outcome("new", {}, 1))
    rows = [scores(0.5, [0.5]), scores(0.6, [0.6]), None, scores(0.9, [0.9])]
    _, new = summaries_of(outcomes, rows, ReferenceConfig(run="ref"))[0]
    assert new.difference["value"] == pytest.approx(0.3) and new.difference_seeds == 1
    assert (new.seeds, new.failed, new.sd) == (1, 1, None)
    rows[1] = scores(0.6, [0.6], "other ECGs")
    summaries, notes = summaries_of(outcomes, rows, ReferenceConfig(run="ref"))
    assert summaries[1].difference == UNKNOWN
    assert notes == ["new is not compared with ref: their predictions are of other ECGs, labels or "
                     "findings."]  # fmt: skip


def test_holm_is_that_of_statsmodels_within_each_point():
    rng = np.random.default_rng(2)
    points = [{SHARE: 0.1}, {SHARE: 1.0}]
    runs = ["ref", "a", "b", "c", "d"]
    outcomes = [outcome(run, point, 0) for run in runs for point in points]
    means = 0.7 + 0.005 * np.arange(10)
    rows = [scores(mean, list(rng.normal(mean, 0.01, 200))) for mean in means]
    found, _ = summaries_of(outcomes, rows, ReferenceConfig(run="ref"))
    for point in points:
        own = [row for row in found if row.point == point and row.run != "ref"]
        expected = multipletests([row.p for row in own], method="holm")[1]
        np.testing.assert_allclose([row.p_holm for row in own], expected, rtol=1e-12)
    assert len({row.p_holm for row in found}) > 3


def test_a_reference_at_a_point_and_the_same_baseline_counted_once():
    points = [{SHARE: 0.1}, {SHARE: 1.0}]
    outcomes = [outcome("a", point, 0) for point in points]
    outcomes += [replace(outcome("floor", {}, 0), point=point) for point in points]
    rng = np.random.default_rng(0)
    rows = [scores(0.7, list(rng.normal(0.7, 0.02, 99))) for _ in range(3)]
    found, _ = summaries_of(outcomes, [*rows, rows[2]], ReferenceConfig(run="a", at=points[1]))
    low, high, floor, same = found
    assert high.p is None and floor.p == same.p is not None
    assert low.p is not None and floor.p is not None
    # two comparisons, not three
    expected = multipletests([low.p, floor.p], method="holm")[1]
    assert [low.p_holm, floor.p_holm] == pytest.approx(list(expected))
    assert same.p_holm == floor.p_holm


def test_main_effects_are_means_over_whole_rows_of_the_grid():
    grid = {"x": [1, 2], "y": ["p", "q"]}
    values = {(1, "p"): 0.6, (2, "p"): 0.7, (1, "q"): 0.8}
    outcomes, rows = [], []
    for (x, y), value in values.items():
        outcomes.append(outcome("a", {"x": x, "y": y}, 0))
        rows.append(scores(value, [value - 0.1, value + 0.1]))
    outcomes.append(outcome("a", {"x": 2, "y": "q"}, 0, "failed"))
    effects = effects_of(grid, outcomes, [*rows, None])
    # x is compared where both of its values are finished, that is, at y = p alone
    assert [(e.value, e.n_points) for e in effects["x"]] == [(0, 1), (1, 1)]
    assert [e.macro_auroc["value"] for e in effects["x"]] == pytest.approx([0.6, 0.7])
    assert [e.macro_auroc["value"] for e in effects["y"]] == pytest.approx([0.6, 0.8])
    whole = effects_of(grid, outcomes, [*rows, scores(0.9, [0.8, 1.0])])
    assert [e.macro_auroc["value"] for e in whole["x"]] == pytest.approx([0.7, 0.8])
    assert whole["x"][0].n_points == 2


@pytest.fixture
def swept(tmp_path) -> Plan:
    """A sweep with a failed run, a failed pretraining, and one that is not finished."""
    plan = plan_of(
        tmp_path / "out",
        runs={"wcr": {}, "better": {"mode": "attention"}, "lost": {"pretrain.seed": 1}},
        grid={SHARE: [0.1, 1.0]},
        seeds=[0, 1],
        reference="wcr",
        evaluate={"resamples": 30},
    )
    for number, row in enumerate(plan.rows):
        folder = JobFolder.of(plan, row.job)
        start = plan.jobs[row.job].needs
        if row.run == "lost":
            pretraining = JobFolder.of(plan, str(start))
            pretraining.prepare()
            pretraining.fail("the loss is nan at step 3 <&>.")
            continue
        if start is not None:
            _write_bundle(JobFolder.of(plan, start))
        if row.run == "random:wcr" and row.seed == 1:
            continue
        folder.prepare()
        if row.run == "scratch:wcr" and row.seed == 0 and row.point[SHARE] == 0.1:
            folder.fail("the label 'x' has no positive record.")
            continue
        signal = {"wcr": 0.1, "better": 0.4}.get(row.run, 0.0)
        if row.run != "age_sex":
            _write_bundle(folder)
        with attempt(folder.path):
            write_predictions(folder.predictions, predictions(number, signal))
    return plan


def _write_bundle(folder: JobFolder) -> None:
    folder.prepare()
    bundle = folder.workdir / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "config.json").write_text("{}")
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)},
              bundle / "model.safetensors")  # fmt: skip
    with attempt(folder.path):
        pass


def test_the_tables(swept: Plan):
    result = Gatherer(swept).gather()
    write_sweep(swept, result)
    table = pq.read_table(swept.folder / "table.parquet")
    assert table.column_names[:9] == [
        *("run", SHARE, "seed", "status", "reason"),
        *("macro_auroc", "macro_auroc_low", "macro_auroc_high", "parameters"),
    ]
    assert "seconds" in table.column_names and "device" in table.column_names
    rows = table.to_pylist()
    assert len(rows) == 6 * 2 * 2
    lost = [row for row in rows if row["run"] == "lost"]
    assert {row["status"] for row in lost} == {"failed"}
    assert lost[0]["reason"] == "its pretraining failed: the loss is nan at step 3 <&>."
    (failed,) = [r for r in rows if r["status"] == "failed" and r["run"] != "lost"]
    assert (failed["run"], failed["macro_auroc"]) == ("scratch:wcr", None)
    assert failed["reason"] == "the label 'x' has no positive record."
    assert {r["run"] for r in rows if r["status"] == "running"} == {"random:wcr"}
    (first, *_) = rows
    assert first["macro_auroc_low"] < first["macro_auroc"] < first["macro_auroc_high"]
    assert first["parameters"] == 17 and first["seconds"] > 0 and "cpu" in first["device"]
    assert next(r for r in rows if r["run"] == "age_sex")["parameters"] == 5 * 2

    summary = pq.read_table(swept.folder / "summary.parquet")
    assert summary.num_rows == 6 * 2
    assert {"difference", "difference_low", "difference_high", "p_holm"} <= set(
        summary.column_names
    )
    by_run = {(row["run"], row[SHARE]): row for row in summary.to_pylist()}
    better, wcr = by_run["better", 0.1], by_run["wcr", 0.1]
    own = [r["macro_auroc"] for r in rows if (r["run"], r[SHARE]) == ("better", 0.1)]
    assert better["macro_auroc_mean"] == pytest.approx(np.mean(own))
    assert better["macro_auroc_sd"] == pytest.approx(np.std(own, ddof=1))
    gap = better["macro_auroc_mean"] - wcr["macro_auroc_mean"]
    assert better["difference"] == pytest.approx(gap) and better["difference_low"] > 0
    assert wcr["difference"] is None and better["p"] <= better["p_holm"] <= 1
    for name in ("table", "summary"):
        csv = pa_csv.read_csv(swept.folder / f"{name}.csv")
        parquet = pq.read_table(swept.folder / f"{name}.parquet")
        assert csv.column_names == parquet.column_names and csv.num_rows == parquet.num_rows
    text = (swept.folder / "table.md").read_text()
    assert "| better | 0.1 | 2 |" in text and "the label 'x' has no positive record." in text


def test_the_page(swept: Plan):
    result = Gatherer(swept).gather()
    write_sweep(swept, result)
    page = (swept.folder / "index.html").read_text()
    outside = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert outside == ["data:,"] and "http" not in page and "None" not in page
    assert page == build_page("out", result, swept.sweep)[0]
    for words in ("Label efficiency: finetune.data.label_share", "Cost against score",
                  "Differences to wcr", "17 of 24 runs are done, 5 failed, 2 are not finished",
                  "the loss is nan at step 3 &lt;&amp;&gt;.", "age_sex", "Holm"):  # fmt: skip
        assert words in page, words
    assert page.count("<svg") == 4
    names = {"runs", "differences", "cost", f"effect_{SHARE}"}
    assert {path.stem for path in (swept.folder / "figures").glob("*.svg")} == names
    for path in (swept.folder / "figures").glob("*.svg"):
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
    curve = pa_csv.read_csv(swept.folder / "figures" / f"effect_{SHARE}.csv").to_pylist()
    assert {row["run"] for row in curve} == {
        "wcr",
        "better",
        "scratch:wcr",
        "random:wcr",
        "age_sex",
    }


def test_unreadable_predictions_are_a_failed_run(swept: Plan):
    row = swept.rows[0]
    JobFolder.of(swept, row.job).predictions.write_text("no parquet")
    found = Gatherer(swept).gather().outcomes[0]
    assert found.status == "failed" and "cannot be read as Parquet" in found.reason


def test_a_sweep_of_pretrainings_alone_has_no_scores(tmp_path):
    stages = {"pretrain": "configs/pretrain/wcr_tiny.yaml"}
    plan = plan_of(tmp_path, stages=stages, runs={"a": {}})
    _write_bundle(JobFolder.of(plan, plan.rows[0].job))
    write_sweep(plan, Gatherer(plan).gather())
    (row,) = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert (row["status"], row["parameters"], row["macro_auroc"]) == ("done", 17, None)
    assert "<svg" not in Path(tmp_path / "index.html").read_text()


def test_values_of_any_kind_in_the_grid(tmp_path):
    grid = {
        "finetune.labels": [["a"], ["a", "b"]],
        "finetune.train.ema_decay": [None, 0.9],
        "finetune.head.kind": ["linear", "attention"],
    }
    plan = plan_of(tmp_path, grid=grid, baselines=False)
    write_sweep(plan, Gatherer(plan).gather())
    table = pq.read_table(tmp_path / "table.parquet")
    assert table["finetune.labels"].to_pylist()[0] == '["a"]'
    assert table["finetune.train.ema_decay"].to_pylist()[:3] == [None, None, 0.9]
    assert set(table["finetune.head.kind"].to_pylist()) == {"linear", "attention"}
