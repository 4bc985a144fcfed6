"""What ``deepecg label`` prints: the findings of a table, a comparison, one explained text."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import NotRequired, TypedDict

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deepecg_jax.cli.console import console
from deepecg_jax.labelling.label import said
from deepecg_jax.labelling.rules.labeller import Labels
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labelling.tables.against_reference import Agreement
from deepecg_jax.labels.findings import FINDINGS


class Summary(TypedDict):
    """What ``deepecg label --json`` prints."""

    n_reports: int
    n_distinct: int
    n_empty: int
    n_language_unknown: int
    n_without_finding: int
    languages: dict[str, int]
    findings: dict[str, dict[str, int]]
    out: NotRequired[str]
    disagreements: NotRequired[str]
    evaluation: NotRequired[Agreement]


class ExplainedFinding(TypedDict):
    """State of a finding, and where the words stand that say so."""

    state: str
    evidence: list[list[int]]
    words: list[str]


class Explained(TypedDict):
    """What ``deepecg label --explain --json`` prints."""

    language: str
    findings: dict[str, ExplainedFinding]


_COLORS = {State.present: "green", State.uncertain: "yellow", State.absent: "red"}


def summary(texts: Sequence[str], labels: Sequence[Labels]) -> Summary:
    """Counts of N labelled reports, for the table and for ``--json``."""
    counts = Counter(chain.from_iterable([own.states.items() for own in labels]))
    empty = sum(not text.strip() for text in texts)
    languages = Counter(own.language for own in labels)
    unread = languages.pop("", 0) - empty
    return {
        "n_reports": len(texts),
        "n_distinct": len(set(texts)),
        "n_empty": empty,
        "n_language_unknown": unread,
        "n_without_finding": sum(not own.states for own in labels),
        "languages": dict(languages.most_common()),
        "findings": {
            FINDINGS[i]: {state.name: counts[i, state] for state in State}
            for i in sorted({finding for finding, _ in counts})
        },
    }


def print_summary(result: Summary) -> None:
    """What was found, most frequent first, and what could not be read."""
    table = Table(title=f"{result['n_reports']:,} reports", title_justify="left")
    table.add_column("finding", overflow="fold")
    for state in State:
        table.add_column(state.name, justify="right", style=_COLORS[state])
    findings = sorted(result["findings"].items(), key=lambda item: -item[1]["present"])
    for name, counts in findings:
        table.add_row(
            escape(name), *(f"{counts[s.name]:,}" if counts[s.name] else "" for s in State)
        )
    console.print(table)
    spoken = ", ".join(f"{code} {n:,}" for code, n in result["languages"].items())
    console.print(
        f"distinct texts {result['n_distinct']:,}; languages: {spoken or 'none'}; "
        f"without any finding {result['n_without_finding']:,}"
    )
    if result["n_empty"]:
        console.print(f"[yellow]{result['n_empty']:,} reports have no text.[/yellow]")
    if result["n_language_unknown"]:
        console.print(
            f"[yellow]{result['n_language_unknown']:,} reports have no word of a known language."
            "[/yellow]"
        )
    for written in (result.get("out"), result.get("disagreements")):
        if written is not None:
            console.print(written, markup=False)


def print_comparison(result: Agreement) -> None:
    """Precision, recall and F1 by finding, then by language."""
    table = Table(
        title=f"against the reference (uncertain counts as {result['uncertain']})",
        title_justify="left",
    )
    table.add_column("finding", overflow="fold")
    for column in ("positive", "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    rows = [*result["findings"].items(), ("all (micro)", result["micro"])]
    rows += [(f"{code} (micro)", own["micro"]) for code, own in result["languages"].items()]
    for name, own in rows:
        if own["f1"] is not None:
            values = (own["precision"], own["recall"], own["f1"])
            table.add_row(escape(name), f"{own['n_positive']:,}", *map(_ratio, values))
    console.print(table)
    macro = result["macro"]
    console.print(
        f"macro F1 {_ratio(macro['f1'])} over {macro['n_findings']} findings; "
        f"micro F1 of what the reports mention {_ratio(result['micro_mentioned']['f1'])}"
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def print_explanation(text: str, labels: Labels) -> None:
    """The text with its words highlighted, and a line for each finding with its words."""
    shown = Text(text)
    for state in (State.absent, State.uncertain, State.present):
        for finding, own in labels.states.items():
            if own is state:
                for start, end in labels.evidence[finding]:
                    shown.stylize(f"bold {_COLORS[state]}", start, end)
    console.print(shown)
    if not labels.states:
        console.print("no finding" if labels.language else "no word of a known language")
        return
    table = Table("finding", "state", "words", title=f"language: {labels.language}")
    for finding in sorted(labels.states):
        state = labels.states[finding]
        words = " ... ".join(text[start:end] for start, end in labels.evidence[finding])
        table.add_row(escape(FINDINGS[finding]), Text(state.name, _COLORS[state]), Text(words))
    console.print(table)


def explain_json(text: str, labels: Labels) -> Explained:
    """The same for programs."""
    return {
        "language": labels.language,
        "findings": {
            name: {
                "state": own.state,
                "evidence": [list(span) for span in own.spans],
                "words": list(own.words),
            }
            for name, own in said(text, labels).items()
        },
    }
