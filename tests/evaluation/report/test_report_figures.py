"""Curves with bands, figures as files, confident errors, and the page in a real browser."""

import csv
import dataclasses
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from deepecg_jax.evaluation.discrimination import curves
from deepecg_jax.evaluation.discrimination.curves import curve_bands, pr_curve, roc_curve
from deepecg_jax.evaluation.evaluate import Options, evaluate
from deepecg_jax.evaluation.report.confident_errors import most_confident_errors
from deepecg_jax.evaluation.report.page import build_report, write_report
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.resampling import Resampling


@pytest.fixture(scope="module")
def metrics(predictions):
    return evaluate(predictions, None, Resampling(20))


def scores_of(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return positive, np.round(rng.normal(positive * 1.0, 1.0, n), 1)


def test_precision_and_recall_are_scikit_learns() -> None:
    positive, scores = scores_of(300)
    precision, recall, _ = precision_recall_curve(positive, scores)
    curve = np.array(pr_curve(positive, scores))
    on_curve = {(round(r, 9), round(p, 9)) for r, p in zip(recall, precision, strict=True)}
    assert all((round(r, 9), round(p, 9)) in on_curve for r, p in curve[1:])
    steps = np.sum(np.diff(recall[::-1]) * precision[::-1][1:])
    assert steps == pytest.approx(average_precision_score(positive, scores))


def test_bands_hold_the_curve_and_narrow_with_more_patients() -> None:
    widths = []
    for n in (100, 1600):
        positive, scores = scores_of(n, 1)
        resampler = Resampler.of_records(n, 0)
        roc, precision = curve_bands([(positive, scores, np.arange(n))], resampler, 200)[0]
        curve = np.array(roc_curve(positive, scores))
        y = np.interp(roc.x, curve[:, 0], curve[:, 1])
        assert ((roc.low <= y + 0.05) & (y <= roc.high + 0.05)).all()
        assert (precision.low <= precision.high).all() and precision.high.max() <= 1.0
        widths.append((roc.high - roc.low).mean())
    assert widths[1] < 0.5 * widths[0]


def test_bands_resample_the_rows_of_the_table() -> None:
    """Records without a label stand between those with one; a patient's records come together."""
    positive, scores = scores_of(200, 2)
    patients = np.repeat(np.arange(40), 5).astype(str)
    rows = np.flatnonzero(np.arange(200) % 3 != 0)
    resampler = Resampler.of_patients(patients, 4)
    found = curve_bands([(positive[rows], scores[rows], rows)], resampler, 8)[0][0]
    grid = []
    for counts in resampler.counts(0, 8)[:, rows]:
        x, y = np.array(
            roc_curve(np.repeat(positive[rows], counts), np.repeat(scores[rows], counts))
        ).T
        grid.append(np.interp(found.x, x, y))
    np.testing.assert_allclose(found.low, np.percentile(grid, 2.5, axis=0), atol=0.03)
    np.testing.assert_allclose(found.high, np.percentile(grid, 97.5, axis=0), atol=0.03)


def test_bands_through_few_thresholds_are_those_through_all(monkeypatch) -> None:
    """Ten thousand different scores are cut at 512 thresholds, which a band does not show."""
    rng = np.random.default_rng(5)
    n = 10_000
    positive = rng.random(n) < 0.05
    scores = rng.normal(positive * 1.5, 1.0).astype(np.float32)
    resampler = Resampler.of_records(n, 0)
    parts = [(positive, scores, np.arange(n))]
    few = curve_bands(parts, resampler, 20)[0]
    monkeypatch.setattr(curves, "CUTS", 10**9)
    every = curve_bands(parts, resampler, 20)[0]
    for a, b in zip(few, every, strict=True):
        assert not np.array_equal(a.low, b.low)
    np.testing.assert_allclose(few[0].low, every[0].low, atol=0.005)
    np.testing.assert_allclose(few[0].high, every[0].high, atol=0.005)
    # precision at low recall rests on a few records, and there fewer cuts show
    for end in ("low", "high"):
        apart = np.abs(getattr(few[1], end) - getattr(every[1], end))
        assert apart.max() < 0.05 and apart[10:].max() < 0.02 and apart.mean() < 0.003


def test_every_figure_is_a_file_with_its_data(predictions, metrics, tmp_path) -> None:
    write_report(predictions, metrics, tmp_path / "report.html", "mine")
    folder = tmp_path / "figures"
    drawn = sorted(path.stem for path in folder.glob("*.svg"))
    assert drawn == sorted(path.stem for path in folder.glob("*.csv"))
    assert {"auroc", "fairness_sex", "reliability_all_findings_flattened"} <= set(drawn)
    assert sum(name.startswith("roc_") for name in drawn) == sum(n.startswith("pr_") for n in drawn)
    for path in folder.glob("*.svg"):
        assert ElementTree.fromstring(path.read_text()).tag == "{http://www.w3.org/2000/svg}svg"
    with (folder / "auroc.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    macro = metrics["macro"]["auroc"]
    assert float(rows["macro average"]["value"]) == macro["value"]
    assert float(rows["macro average"]["low"]) == macro["low"]


def test_confusion_counts(predictions, metrics) -> None:
    for j, name in enumerate(predictions.names):
        known = predictions.labels[:, j] >= 0
        truth, called = predictions.labels[known, j] == 1, predictions.scores[known, j] >= 0.5
        cells = metrics["findings"][name]["confusion"]
        assert cells["true_positive"] == (truth & called).sum()
        assert cells["false_negative"] == (truth & ~called).sum()
        assert cells["false_positive"] == (~truth & called).sum()
        assert cells["true_negative"] == (~truth & ~called).sum()


def test_confident_errors(predictions) -> None:
    errors = most_confident_errors(predictions, 3)
    wrong = [error for error in errors if not error.label]
    assert [error.score for error in wrong] == sorted((e.score for e in wrong), reverse=True)
    assert wrong[0].score == predictions.scores[predictions.labels == 0].max()
    missed = [error for error in errors if error.label]
    assert missed[0].score == predictions.scores[predictions.labels == 1].min()
    for half in (wrong, missed):
        assert len({error.patient_id for error in half}) == len(half) == 3
    for error in errors:
        row = list(predictions.record_id).index(error.record_id)
        column = predictions.names.index(error.finding)
        assert predictions.labels[row, column] == error.label


def test_ecgs_are_drawn_where_the_signal_is_at_hand(predictions, metrics) -> None:
    first = most_confident_errors(predictions)[0]
    page, _ = build_report(
        predictions, metrics, "mine", lambda e: "<svg id='ecg'></svg>" if e == first else None
    )
    assert page.count("<figure") == page.count("<svg id='ecg'>") == 1


def test_survival_in_the_page(predictions, tmp_path) -> None:
    pytest.importorskip("lifelines")
    rng = np.random.default_rng(0)
    risk = predictions.scores[:, 0]
    event_at, censored_at = rng.exponential(1500 / (0.3 + risk)), rng.uniform(400, 2500, len(risk))
    extra = {
        "time_days": np.minimum(event_at, censored_at),
        "event": (event_at <= censored_at).astype(np.int8),
    }
    table = dataclasses.replace(predictions, extra={**predictions.extra, **extra})
    name = predictions.names[0]
    metrics = evaluate(
        table, None, Resampling(20), options=Options(survival=[name], horizon_years=4)
    )
    assert metrics["survival"][name]["discrimination"]["harrell_c"]["value"] > 0.5
    write_report(table, metrics, tmp_path / "report.html", "mine")
    page = (tmp_path / "report.html").read_text()
    assert f"Time to event: {name}" in page and "Aalen-Johansen" in page
    assert list((tmp_path / "figures").glob("incidence_*.csv"))


PROBE = """
<script>
const body = document.getElementById("findings-table").tBodies[0];
const names = () => [...body.rows].filter(r => !r.hidden).map(r => r.cells[0].textContent);
const heads = document.querySelectorAll("#findings-table thead button");
heads[3].click();
const values = [...body.rows].map(r => r.cells[3].dataset.value).filter(v => v !== "").map(Number);
const descending = values.every((v, i) => i === 0 || values[i - 1] >= v);
heads[3].click();
const first = names()[0];
const search = document.getElementById("search");
search.value = names()[1].slice(0, 4);
search.dispatchEvent(new Event("input"));
const wide = [...document.querySelectorAll("main > section")]
  .filter(s => s.scrollWidth > s.clientWidth + 1);
document.title = JSON.stringify({descending, first, shown: names(), errors: window.failures,
  wide: wide.length, svgs: document.querySelectorAll("svg").length});
</script>
"""


def test_the_page_in_a_browser(predictions, metrics, tmp_path) -> None:
    """Renders, sorts, searches, without a console error and without a network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    page, _ = build_report(predictions, metrics, "mine")
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
    import html
    import json

    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None
    found = json.loads(html.unescape(title.group(1)))
    assert found["descending"] and found["errors"] == [] and found["wide"] == 0
    aurocs = {n: f["auroc"]["value"] for n, f in metrics["findings"].items()}
    worst = min((n for n in aurocs if aurocs[n] is not None), key=lambda n: aurocs[n])
    assert found["first"] == worst
    assert found["shown"] and found["svgs"] == page.count("<svg")
    assert "CONSOLE" not in done.stderr
