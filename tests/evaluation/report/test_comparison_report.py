"""The page of a comparison: self-contained, complete, safe against names, and in a real browser."""

import csv
import dataclasses
import html
import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest

from deepecg_jax.evaluation.comparison.compare import compare
from deepecg_jax.evaluation.report.comparison_charts import signed_ticks
from deepecg_jax.evaluation.report.comparison_page import (
    build_comparison_report,
    write_comparison_report,
)
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.pairing import pair


def against(predictions, names=None):
    rng = np.random.default_rng(3)
    noisy = np.clip(0.6 * predictions.scores + 0.4 * rng.random(predictions.scores.shape), 0, 1)
    tables = [
        dataclasses.replace(predictions, scores=scores, names=names or predictions.names)
        for scores in (predictions.scores, noisy.astype(np.float32))
    ]
    found = compare(pair(*tables), resampling=Resampling(20), permutations=10)
    return {"a": "first.parquet", "b": "second.parquet"} | found


@pytest.fixture(scope="module")
def comparison(predictions):
    return against(predictions)


def test_page_is_complete_and_self_contained(comparison, tmp_path):
    write_comparison_report(comparison, tmp_path / "new" / "comparison.html")
    page = (tmp_path / "new" / "comparison.html").read_text(encoding="utf-8")
    outside = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert outside == ["data:,"]
    assert "http" not in page and "None" not in page
    gap = comparison["macro"]["difference"]
    assert gap["low"] > 0.001  # A is clearly better: no rounding to zero, no minus
    assert f"<b>{gap['value']:+.3f}</b><span>{gap['low']:+.3f} to {gap['high']:+.3f}" in page
    for name in comparison["findings"]:
        assert name in page
    assert "Without both classes, so without an AUROC: never" in page
    assert page.count("<svg") == 1 + 4
    assert page == build_comparison_report(comparison)[0]
    figures = tmp_path / "new" / "figures"
    for path in figures.glob("*.svg"):
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
    with (figures / "difference.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert float(rows["macro average"]["value"]) == gap["value"]
    with (figures / "decision_Afib.csv").open() as file:
        curve = list(csv.DictReader(file))
    own = comparison["findings"]["Afib"]["decision_curve"]
    assert [float(row["a"]) for row in curve] == own["a"]
    assert [float(row["threshold"]) for row in curve] == own["threshold"]


def test_names_from_a_file_are_escaped(predictions):
    evil = '<script>alert("x")</script>'
    page = build_comparison_report(against(predictions, (evil, *predictions.names[1:])))[0]
    assert page.count("<script>") == 1
    assert "&lt;script&gt;" in page


def test_nothing_has_both_classes(predictions):
    p = dataclasses.replace(predictions, labels=np.zeros_like(predictions.labels))
    page, figures = build_comparison_report(against(p))
    assert len(figures) == 1 and "None" not in page


def test_ticks_are_round_and_hold_zero():
    assert signed_ticks(-0.1, 0.1) == [-0.1, -0.05, 0.0, 0.05, 0.1]
    assert 0.0 in signed_ticks(-0.0123, 0.0311)
    for reach in (0.001, 0.02, 0.3, 1.0):
        assert 3 <= len(signed_ticks(-reach, reach)) <= 8


PROBE = """
<script>
const body = document.getElementById("findings-table").tBodies[0];
const heads = document.querySelectorAll("#findings-table thead button");
heads[4].click();
const values = [...body.rows].map(r => r.cells[4].dataset.value).filter(v => v !== "").map(Number);
const descending = values.every((v, i) => i === 0 || values[i - 1] >= v);
const search = document.getElementById("search");
search.value = "bundle";
search.dispatchEvent(new Event("input"));
const shown = [...body.rows].filter(r => !r.hidden).map(r => r.cells[0].textContent);
const wide = [...document.querySelectorAll("main > section")]
  .filter(s => s.scrollWidth > s.clientWidth + 1);
document.title = JSON.stringify({descending, shown, wide: wide.length, errors: window.failures,
  svgs: document.querySelectorAll("svg").length});
</script>
"""


def test_the_page_in_a_browser(comparison, tmp_path):
    """Renders, sorts, searches, without a console error and without a network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    page = build_comparison_report(comparison)[0]
    watch = "<script>window.failures = []; window.onerror = e => window.failures.push(e);</script>"
    page = page.replace("<head>", f"<head>{watch}").replace("</body>", f"{PROBE}</body>")
    (tmp_path / "page.html").write_text(page)
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1200,900",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--dump-dom",
            f"--user-data-dir={tmp_path}/profile",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None
    found = json.loads(html.unescape(title.group(1)))
    assert found["descending"] and found["errors"] == [] and found["wide"] == 0
    assert found["shown"] == ["Left bundle branch block"]
    assert found["svgs"] == page.count("<svg")
    assert "CONSOLE" not in done.stderr
