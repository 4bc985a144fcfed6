"""The page that `deepecg quickstart` ends with."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deepecg_jax.config import PretrainConfig
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.report.charts import ACCENT, GRID, INK, SECOND, forest, line, svg, text
from deepecg_jax.evaluation.results import Evaluation
from deepecg_jax.evaluation.table.predictions import read_predictions
from deepecg_jax.signals.drawing.plot import plot
from deepecg_jax.training.metrics_log import read_metrics

_CURVES = (
    ("loss", "total loss"),
    ("contrastive_accuracy", "contrastive accuracy"),
    ("cmsc", "CMSC loss"),
    ("reconstruction", "reconstruction error"),
)


class Outcome(NamedTuple):
    """How a comparison is called, and its evaluation."""

    title: str
    metrics: Evaluation


def write_page(
    out: Path,
    pretraining: PretrainConfig,
    results: Mapping[str, Outcome],
    export_note: str,
) -> Path:
    """Write ``out/index.html`` (self-contained) and return its path.

    results: comparison name -> its outcome; "finetuned" is shown in detail.
    """
    rows = read_metrics(Path(pretraining.workdir) / "metrics.jsonl")
    curves = [
        curve([(row["step"], row[key]) for row in rows if key in row], title)
        for key, title in _CURVES
        if any(key in row for row in rows)
    ]
    detail = results["finetuned"].metrics
    findings = [
        (name, values["auroc"], False)
        for name, values in sorted(
            detail["findings"].items(), key=lambda item: -(item[1]["auroc"]["value"] or 0)
        )
    ]
    drawing, present = _example(out, pretraining.data.dir)
    environment = Environment(
        loader=PackageLoader("deepecg_jax.cli"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("quickstart.html").render(
        n_train=len(open_split(pretraining.data.dir, "synthetic", "train")),
        n_test=detail["n_records"],
        n_patients=detail["n_patients"],
        resamples=detail["resamples"],
        steps=pretraining.train.steps,
        curves=[Markup(c) for c in curves],
        comparison=Markup(
            forest(
                [(r.title, r.metrics["macro"]["auroc"], False) for r in results.values()],
                "macro AUROC on the test split",
            )
        ),
        findings=Markup(forest(findings, "AUROC of each finding")),
        gap_metrics=shown("gaps"),
        gaps=[
            (attribute, detail["fairness"][attribute])
            for attribute in ("sex", "age")
            if attribute in detail["fairness"]
        ],
        ecg=Markup(drawing),
        present=present,
        export_note=export_note,
        out=shlex.quote(str(out)),
    )
    page = out / "index.html"
    page.write_text(html, encoding="utf-8")
    return page


def curve(points: list[tuple[float, float]], title: str) -> str:
    """A line over the steps, as SVG."""
    width, height, left, top, bottom = 300, 170, 44, 26, 24
    xs = np.array([p[0] for p in points], float)
    ys = np.array([p[1] for p in points], float)
    low, high = float(ys.min()), float(ys.max())
    high = high if high > low else low + 1.0
    x = left + (xs - xs.min()) / max(np.ptp(xs), 1.0) * (width - left - 8)
    y = top + (high - ys) / (high - low) * (height - top - bottom)
    parts = [text(left, 14, title, colour=INK, size=12)]
    for value in (low, high):
        at = top + (high - value) / (high - low) * (height - top - bottom)
        parts += [
            line(left, at, width - 8, at, GRID),
            text(left - 6, at + 4, f"{value:.2f}", "end", size=10),
        ]
    parts += [
        text(left, height - 6, f"step {int(xs.min())}", size=10),
        text(width - 8, height - 6, f"{int(xs.max())}", "end", size=10),
        f'<polyline fill="none" stroke="{ACCENT}" stroke-width="1.6" points="'
        + " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        + '"/>',
        f'<circle cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" r="2.6" fill="{SECOND}"/>',
    ]
    return svg(width, height, title, parts)


def _example(out: Path, data_dir: str) -> tuple[str, str]:
    """The test ECG with the most findings: its drawing with the scores, and the truth."""
    table = read_predictions(out / "finetuned" / "predictions.parquet")
    known = np.where(table.labels > 0, 1, 0)
    i = int(known.sum(1).argmax())
    split = open_split(data_dir, "synthetic", "test")
    ids = split.index["record_id"].to_pylist()
    record = split[ids.index(str(table.record_id[i]))]
    order = np.argsort(-table.scores[i])[:8]
    present = ", ".join(name for name, k in zip(table.names, known[i], strict=True) if k)
    drawing = plot(
        record,
        contract=split.contract,
        title=f"Test ECG {table.record_id[i]}",
        findings=[(table.names[j], float(table.scores[i, j])) for j in order],
    )
    return drawing, present
