"""``deepecg label --method bert``: reports to findings by a BERT classifier."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import typer
from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console, err
from deepecg_jax.cli.label_files import Files
from deepecg_jax.cli.label_tables import print_comparison
from deepecg_jax.data.tables.write import write_table
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert.classifier import ReportClassifier
from deepecg_jax.labelling.rules.labeller import Labels
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labelling.tables.against_reference import Agreement, compare, disagreements
from deepecg_jax.labelling.tables.reference import read_reference
from deepecg_jax.labelling.tables.reports import EVIDENCE, Reports, id_array
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.training.metrics_log import progress_bar


class FindingOfClassifier(TypedDict):
    """How many reports reach a label's threshold."""

    present: int
    threshold: float


class Summary(TypedDict):
    """What ``deepecg label --method bert --json`` prints."""

    n_reports: int
    n_distinct: int
    n_empty: int
    n_without_finding: int
    thresholds: str
    findings: dict[str, FindingOfClassifier]
    out: NotRequired[str]
    disagreements: NotRequired[str]
    evaluation: NotRequired[Agreement]


def label(files: Files, model: Path, thresholds: Path | None, as_json: bool) -> None:
    """Score, decide, write and print."""
    reports = files.read()
    classifier = ReportClassifier.load(model, thresholds)
    names = classifier.labels
    taken = [name for name in names if name in (reports.id_name, EVIDENCE)]
    if taken:
        raise UserError(f"the classifier has a label {taken[0]!r}, which is another column's name.")
    known = None
    if files.evaluate is not None:  # before the scoring, so that its mistakes show at once
        known = read_reference(files.evaluate, reports.id_name, reports.ids, files.encoding)
        known = {name: values for name, values in known.items() if name in names}
        if not known:
            raise UserError(
                f"{files.evaluate} has none of the classifier's labels ({', '.join(names[:3])} "
                "...), so there is nothing to compare."
            )
    distinct = len({text for text in reports.texts if text.strip()})
    with progress_bar(err) as bar:
        task = bar.add_task("labelling", total=distinct, status="reports")
        scores = classifier.scores(reports.texts, lambda done: bar.advance(task, done))
    positive = classifier.positive(scores)
    has_text = ~np.isnan(scores[:, 0])
    result: Summary = {
        "n_reports": len(reports.texts),
        "n_distinct": len(set(reports.texts)),
        "n_empty": int((~has_text).sum()),
        "n_without_finding": int((has_text & ~positive.any(1)).sum()),
        "thresholds": classifier.thresholds_source,
        "findings": {
            name: {"present": int(positive[:, j].sum()), "threshold": classifier.thresholds[j]}
            for j, name in enumerate(names)
        },
    }
    if files.out is not None:
        write_table(to_table(reports, names, scores, positive), files.out)
        result["out"] = str(files.out)
    if known is not None:
        labels = as_labels(names, positive, has_text)
        result["evaluation"] = compare(labels, known)
        result["evaluation"]["languages"] = {}  # a classifier knows none
        if files.disagreements is not None:
            write_table(disagreements(reports, labels, known), files.disagreements)
            result["disagreements"] = str(files.disagreements)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _print(result)


def to_table(
    reports: Reports, names: tuple[str, ...], scores: np.ndarray, positive: np.ndarray
) -> pa.Table:
    """The columns of the rule labeller, and ``score:<name>``; all null for a report without text.

    ``evidence`` is ``{}``: a classifier points at no words.
    """
    empty = np.isnan(scores[:, 0])
    columns = {reports.id_name: id_array(reports.ids)}
    for j, name in enumerate(names):
        states = np.where(positive[:, j], State.present.name, State.absent.name)
        columns[name] = pa.array(states.astype(object), pa.string(), mask=empty)
    columns[EVIDENCE] = pa.array(["{}"] * len(scores), pa.string())
    for j, name in enumerate(names):
        columns[f"score:{name}"] = pa.array(np.ascontiguousarray(scores[:, j]), mask=empty)
    return pa.table(columns)


def as_labels(names: tuple[str, ...], positive: np.ndarray, has_text: np.ndarray) -> list[Labels]:
    """The decisions in the form in which labels are compared; only the 77 findings count."""
    known = [(j, FINDINGS.index(name)) for j, name in enumerate(names) if name in FINDINGS]
    return [
        Labels(
            {number: State.present if row[j] else State.absent for j, number in known if text},
            {},
            "",
        )
        for row, text in zip(positive, has_text.tolist(), strict=True)
    ]


def _print(result: Summary) -> None:
    shown = Table(title=f"{result['n_reports']:,} reports", title_justify="left")
    shown.add_column("finding", overflow="fold")
    shown.add_column("present", justify="right", style="green")
    shown.add_column("threshold", justify="right")
    findings = sorted(result["findings"].items(), key=lambda item: -item[1]["present"])
    for name, own in findings:
        shown.add_row(
            escape(name), f"{own['present']:,}" if own["present"] else "", f"{own['threshold']:.3g}"
        )
    console.print(shown)
    console.print(
        f"distinct texts {result['n_distinct']:,}; without any finding "
        f"{result['n_without_finding']:,}; thresholds: {result['thresholds']}",
        markup=False,
    )
    if result["n_empty"]:
        console.print(f"[yellow]{result['n_empty']:,} reports have no text.[/yellow]")
    for written in (result.get("out"), result.get("disagreements")):
        if written is not None:
            console.print(written, markup=False)
    if "evaluation" in result:
        print_comparison(result["evaluation"])
