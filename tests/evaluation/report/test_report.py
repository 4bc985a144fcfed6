"""The page: self-contained, complete, well-formed, safe against names from a file."""

import copy
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import auc, roc_auc_score

from deepecg_jax.evaluation.discrimination.curves import roc_curve
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.report.page import abstract, build_report, write_report
from deepecg_jax.evaluation.report.terminal import print_metrics
from deepecg_jax.evaluation.resampling.resampling import Resampling

VOID = {"meta", "link", "input", "br"}
SVG_SINGLE = {"line", "circle", "rect", "path", "polyline"}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in VOID | SVG_SINGLE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def metrics(predictions):
    return evaluate(predictions, None, Resampling(20))


def test_page_is_complete_self_contained_and_well_formed(predictions, metrics, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(predictions, metrics, path, "mine.parquet")
    page = path.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.seen.count("svg") == 1 + 4 + 4 + 3 + 5
    outside = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert outside == ["data:,"]
    assert "http" not in page
    assert "nan" not in re.findall(r">([^<>]*)<", page)
    for name in predictions.names:
        assert name in page
    assert "No thresholds were given" in page
    value = metrics["macro"]["auroc"]["value"]
    assert f"<b>{value:.3f}</b>" in page
    assert page == build_report(predictions, metrics, "mine.parquet")[0]


def test_names_from_a_file_are_escaped(predictions):
    evil = '<script>alert("x")</script>'
    p = dataclasses.replace(predictions, names=(evil, *predictions.names[1:]))
    page, _ = build_report(p, evaluate(p, None, Resampling(2)), evil)
    assert page.count("<script>") == 1
    assert "&lt;script&gt;" in page


def test_page_without_groups_and_with_one_finding(predictions):
    p = dataclasses.replace(
        predictions,
        names=("Afib",),
        labels=predictions.labels[:, :1],
        scores=predictions.scores[:, :1],
        sex=np.full(len(predictions), "unknown", dtype=object),
        age=np.full(len(predictions), 40.0),
    )
    page, _ = build_report(p, evaluate(p, None, Resampling(2)), "x")
    assert "No record has a known sex" in page
    assert "1 finding, " in page
    assert "Difference between groups" not in page


def test_page_when_nothing_has_both_classes(predictions):
    p = dataclasses.replace(predictions, labels=np.zeros_like(predictions.labels))
    metrics = evaluate(p, None, Resampling(2))
    page, _ = build_report(p, metrics, "x")
    assert "so groups are not compared" in page
    assert metrics["macro"]["auroc"]["value"] is None
    assert len(abstract(metrics)) == 1


def test_terminal_tables_fit_80_columns(metrics):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_metrics(metrics, console)
    text = console.export_text()
    assert "macro average" in text
    assert f"{metrics['macro']['auroc']['value']:.3f}" in text
    assert "equalized odds" in text
    assert "…" not in text.replace("Left bundle branch…", "")
    assert max(map(len, text.splitlines())) <= 80


def test_terminal_explains_an_interval_beyond_its_estimate(metrics):
    def printed(low: float) -> str:
        changed = copy.deepcopy(metrics)
        gap = changed["fairness"]["sex"]["tpr_difference"]
        for part in changed["fairness"].values():
            for key, value in part.items():
                if key.endswith("_difference"):
                    value |= {"value": 0.2, "low": 0.1, "high": 0.3}
        gap["low"] = low
        console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        with console.file:
            print_metrics(changed, console)
        return " ".join(console.export_text().split())

    assert "interval leans upwards" not in printed(0.2)
    assert "interval leans upwards" in printed(0.21)


def test_roc_curve_is_thinned_without_changing_its_area():
    rng = np.random.default_rng(0)
    positive = rng.random(5000) < 0.2
    scores = np.round(rng.random(5000) + 0.6 * positive, 3)
    curve = roc_curve(positive, scores)
    assert curve[0] == (0, 0)
    assert curve[-1] == (1, 1)
    assert len(curve) <= 80
    x, y = np.array(curve).T
    assert (np.diff(x) >= 0).all()
    assert auc(x, y) == pytest.approx(roc_auc_score(positive, scores), abs=2e-3)
