"""A new metric is one row of the table: it then stands everywhere that its row says."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.comparison.compare import compare
from deepecg_jax.evaluation.comparison.result_files import write_comparison
from deepecg_jax.evaluation.discrimination.fitted import fit_for
from deepecg_jax.evaluation.discrimination.thresholds import ThresholdMethod
from deepecg_jax.evaluation.evaluate import evaluate, write_metrics
from deepecg_jax.evaluation.metrics import table
from deepecg_jax.evaluation.metrics.metric import Metric
from deepecg_jax.evaluation.metrics.table import metric, names, shown
from deepecg_jax.evaluation.report.comparison_page import build_comparison_report
from deepecg_jax.evaluation.report.page import write_report
from deepecg_jax.evaluation.report.terminal import print_metrics
from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.sites.across import across_sites
from deepecg_jax.evaluation.table.pairing import pair


def balanced(resampled):
    t = resampled.tallies
    return (ratio(t.true_positive, t.positive) + ratio(t.true_negative, t.negative)) / 2


EVERYWHERE = dict.fromkeys(
    (
        "json",
        "head",
        "findings",
        "averages",
        "decisions",
        "terminal",
        "comparison",
        "groups",
        "group_figure",
        "gaps",
        "worst_group",
        "power",
        "optimism",
    ),
    99,
)
TOY = Metric("balanced", "Balanced accuracy", balanced, True, EVERYWHERE, "bal.")


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(table, "METRICS", (*table.METRICS, TOY))


def printed(metrics):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_metrics(metrics, console)
    return console.export_text()


def test_a_new_metric_is_one_row(toy, predictions, tmp_path):
    ten = Resampling(10)
    limits, _ = fit_for(predictions, "same", predictions, ThresholdMethod("f1"), ten)
    metrics = evaluate(predictions, limits, ten)
    write_metrics(metrics, tmp_path / "metrics.json")
    written = json.loads((tmp_path / "metrics.json").read_text())
    known = predictions.labels[:, 0] >= 0
    called = predictions.scores[known, 0] >= np.float32(metrics["findings"]["Afib"]["threshold"])
    expected = balanced_accuracy_score(predictions.labels[known, 0], called)
    found = written["findings"]["Afib"]["balanced"]
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < found["value"] < found["high"]
    value = written["macro"]["balanced"]["value"]
    assert 0.5 < value < 1 and written["micro"]["balanced"]["low"] is not None
    sex = written["fairness"]["sex"]
    assert 0 < sex["groups"]["female"]["balanced"] < 1
    assert {"balanced_difference", "balanced_ratio"} <= set(sex)
    assert sex["worst_group"]["balanced"]["mean"]["group"] in ("female", "male")
    assert sex["power"]["smallest_detectable"]["balanced"]["value"] > 0
    assert "balanced" in written["threshold_fit"]["optimism"]["macro"]

    write_report(predictions, metrics, tmp_path / "report.html", "mine")
    page = (tmp_path / "report.html").read_text()
    for head in ("<th>Macro Balanced accuracy</th>", "<button>Balanced accuracy</button>"):
        assert head in page
    assert f"<span>Macro Balanced accuracy</span><b>{value:.3f}</b>" in page
    assert "balanced accuracy female (" in page or "balanced accuracy male (" in page
    assert "Balanced accuracy" in (tmp_path / "figures" / "fairness_sex.csv").read_text()
    text = printed(metrics)
    assert " bal." in text and f"{value:.3f}" in text and "balanced accuracy" in text


def test_it_is_compared_and_looked_for_at_sites(toy, predictions, tmp_path):
    rng = np.random.default_rng(0)
    other = dataclasses.replace(predictions, scores=rng.permuted(predictions.scores, axis=0))
    ten = Resampling(10)
    compared = compare(pair(predictions, other), resampling=ten, permutations=5)
    write_comparison(compared, tmp_path)
    gap = json.loads((tmp_path / "comparison.json").read_text())["macro"]["metrics"]["balanced"]
    assert gap["difference"]["value"] > 0.1 and gap["p_permutation"] <= 1 / 3
    with (tmp_path / "comparison.csv").open() as file:
        assert "balanced" in {row["metric"] for row in csv.DictReader(file)}
    page, _ = build_comparison_report({"a": "a", "b": "b", **compared})
    assert "<button>Balanced accuracy<br>A − B</button>" in page

    site = np.array(["x", "y"], object)[rng.integers(0, 2, len(predictions))]
    at_sites = dataclasses.replace(predictions, extra={"site": site})
    found = across_sites(at_sites, "balanced", findings=["Afib"], resampling=ten)
    assert 0.5 < found["findings"]["Afib"]["pooled"]["value"] < 1


def test_without_its_row_it_is_nowhere(predictions):
    metrics = evaluate(predictions, None, Resampling(2))
    assert "balanced" not in json.dumps(metrics)
    assert " bal." not in printed(metrics)
    with pytest.raises(UserError, match="no metric 'balanced'; use one of auroc, auprc, f1"):
        metric("balanced")


def test_the_names_that_others_script_against():
    """INTERFACE.md: M, and the keys of a group."""
    assert names()[:8] == [
        "auroc",
        "auprc",
        "f1",
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
        "brier",
    ]
    assert [m.in_groups for m in shown("groups")][:4] == ["auroc", "auprc", "tpr", "fpr"]
    assert [m.of_groups_in_text for m in shown("gaps")] == [
        "AUROC",
        "true-positive rate",
        "false-positive rate",
    ]
    assert len(set(names("groups"))) == len(shown("groups"))
    assert all(m.in_terminal and m.title for m in table.METRICS)
