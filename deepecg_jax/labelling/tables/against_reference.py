"""Labels from reports against reference labels: precision, recall and F1 by finding and language.

A finding that a report does not mention counts as not found, whatever the reference says: reports
state what is there, and little of what is not. Where the reference is unknown (-1) nothing is
counted. What is uncertain counts as found, as not found, or the pair is left out, by choice, and
the choice holds for both sides: for "possible infarct" in the text, and for an SCP-ECG statement
of a likelihood between 0 and 100 (PTB-XL wrote "possible" as 50, "cannot be excluded" as 15; 0 is
no likelihood at all, as rhythm and form statements have it).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypedDict

import numpy as np
import pyarrow as pa

from deepecg_jax.labelling.rules.labeller import Labels
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labelling.tables.reports import Reports
from deepecg_jax.labels.findings import FINDINGS, shipped_table
from deepecg_jax.labels.maps import FindingRules, label_vector, read_map
from deepecg_jax.labels.scp import finding_rules


class Counts(TypedDict):
    """Agreement on one finding, or over several; a ratio without a denominator is None."""

    n_positive: int
    tp: int
    fp: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None


class Macro(TypedDict):
    """Mean of the F1 of findings with a reference positive, None if there is none."""

    f1: float | None
    n_findings: int


class Measured(TypedDict):
    """Agreement of ``n`` reports: by finding, over all pairs, and of the mentioned pairs only."""

    n: int
    findings: dict[str, Counts]
    micro: Counts
    micro_mentioned: Counts
    macro: Macro


class Agreement(Measured):
    """The same of all reports, and by language; ``uncertain`` is what a doubt counted as."""

    uncertain: str
    languages: dict[str, Measured]


class Uncertain(StrEnum):
    """What an uncertain finding counts as."""

    present = "present"
    absent = "absent"
    left_out = "left-out"


def scp_report_rules() -> tuple[FindingRules, ...]:
    """SCP-ECG statements to findings as reports express them: the map of PTB-XL, and infarcts.

    An infarct statement names a diagnosis, not a Q wave; the map for training leaves it out. The
    labeller makes an infarct the Q wave of its site, so here the statements do the same. The
    septal site cannot be compared: PTB-XL has ASMI for "anterior" and "anteroseptal" alike.
    """
    return (*finding_rules(), *read_map(shipped_table("scp_infarcts.csv"), "statements"))


def scp_reference(
    codes: Sequence[Mapping[str, float]], uncertain: Uncertain = Uncertain.present
) -> dict[str, np.ndarray]:
    """Reference labels from the SCP-ECG statements of N records: finding -> (N,) of 1, 0, -1.

    Args:
        codes: statement -> its likelihood in percent, 0 if it has none, for each record.
        uncertain: what a finding counts as whose statements are all of a likelihood below 100.
    """
    rules = scp_report_rules()
    table = np.stack([label_vector(rules, frozenset(own)) for own in codes])
    if uncertain is not Uncertain.present:
        sure = [frozenset(name for name, p in own.items() if not 0 < p < 100) for own in codes]
        firm = np.stack([label_vector(rules, own) for own in sure])
        value = 0 if uncertain is Uncertain.absent else -1
        table = np.where((table == 1) & (firm != 1), value, table)
    return {rule.finding: table[:, j] for j, rule in enumerate(rules)}


def compare(
    labels: Sequence[Labels],
    reference: Mapping[str, np.ndarray],
    uncertain: Uncertain = Uncertain.present,
) -> Agreement:
    """Precision, recall and F1 of N reports.

    Args:
        labels: what the N reports say.
        reference: finding -> (N,) of 1 present, 0 absent, -1 unknown.
        uncertain: what an uncertain finding counts as.

    Returns:
        What can be written as JSON: by finding, over all pairs, over the pairs that a report
        mentions, and by language (its code, or ``unknown``).
    """
    names = [name for name in FINDINGS if name in reference]
    known = np.stack([reference[name] for name in names], axis=1)
    found = found_table(labels, names)
    languages = np.array([own.language for own in labels])
    everyone = np.ones(len(labels), bool)
    return {
        **_measure(names, found, known, everyone, uncertain),
        "uncertain": uncertain.value,
        "languages": {
            code or "unknown": _measure(names, found, known, languages == code, uncertain)
            for code in sorted(set(languages.tolist()))
        },
    }


def found_table(labels: Sequence[Labels], names: Sequence[str]) -> np.ndarray:
    """States of N reports for C findings: (N, C) int8, -1 not mentioned, else a `State`."""
    columns = {FINDINGS.index(name): j for j, name in enumerate(names)}
    table = np.full((len(labels), len(names)), -1, np.int8)
    for i, own in enumerate(labels):
        for finding, state in own.states.items():
            if finding in columns:
                table[i, columns[finding]] = state
    return table


def _measure(
    names: Sequence[str], found: np.ndarray, known: np.ndarray, rows: np.ndarray, kind: Uncertain
) -> Measured:
    said, truth = found[rows], known[rows]
    positive = said == State.present
    counted = truth != -1
    if kind is Uncertain.present:
        positive = positive | (said == State.uncertain)
    elif kind is Uncertain.left_out:
        counted = counted & (said != State.uncertain)
    tp = (positive & (truth == 1) & counted).sum(0)
    fp = (positive & (truth == 0) & counted).sum(0)
    fn = (~positive & (truth == 1) & counted).sum(0)
    missed = (~positive & (truth == 1) & counted & (said != -1)).sum()
    findings = {name: _scores(int(tp[j]), int(fp[j]), int(fn[j])) for j, name in enumerate(names)}
    f1 = [own["f1"] or 0.0 for own in findings.values() if own["n_positive"]]
    return {
        "n": int(rows.sum()),
        "findings": findings,
        "micro": _scores(int(tp.sum()), int(fp.sum()), int(fn.sum())),
        "micro_mentioned": _scores(int(tp.sum()), int(fp.sum()), int(missed)),
        "macro": {"f1": sum(f1) / len(f1) if f1 else None, "n_findings": len(f1)},
    }


def _scores(tp: int, fp: int, fn: int) -> Counts:
    return {
        "n_positive": tp + fn,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }


def disagreements(
    reports: Reports,
    labels: Sequence[Labels],
    reference: Mapping[str, np.ndarray],
    uncertain: Uncertain = Uncertain.present,
) -> pa.Table:
    """Every pair where the report and the reference differ, with the words, to be read.

    Columns ``id``, ``finding``, ``reference``, ``report``, ``words`` and ``text``, all text.
    """
    rows: list[tuple[str, ...]] = []
    for name, known in reference.items():
        finding = FINDINGS.index(name)
        for i in np.flatnonzero(known >= 0).tolist():
            state = labels[i].states.get(finding)
            if state is State.uncertain and uncertain is Uncertain.left_out:
                continue
            doubted = state is State.uncertain and uncertain is Uncertain.present
            if (state is State.present or doubted) == bool(known[i]):
                continue
            text = reports.texts[i]
            words = [text[start:end] for start, end in labels[i].evidence.get(finding, ())]
            truth = "present" if known[i] else "absent"
            said = "not mentioned" if state is None else state.name
            rows.append((reports.ids[i], name, truth, said, " ... ".join(words), text))
    columns = ("id", "finding", "reference", "report", "words", "text")
    return pa.table(
        {
            column: pa.array([row[j] for row in rows], pa.string())
            for j, column in enumerate(columns)
        }
    )
