"""The evaluation as compact tables in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_FINDING_COLUMNS = (
    ("AUROC", "auroc"),
    ("AUPRC", "auprc"),
    ("sens.", "sensitivity"),
    ("spec.", "specificity"),
    ("F1", "f1"),
)
_GAPS = (
    ("AUROC", "auroc"),
    ("true-positive rate", "tpr"),
    ("false-positive rate", "fpr"),
    ("equalized odds", "equalized_odds"),
)
_MOST_ROWS = 25
_NAME_WIDTH = 26
_LEANING = (
    "A difference of groups cannot be negative, so chance alone makes it positive and its interval "
    "leans upwards, here beyond the estimate."
)


def estimate(value: Mapping[str, Any], with_interval: bool = True) -> str:
    """``.927 [.912, .940]``, or a dash when undefined."""
    if value["value"] is None:
        return "–"
    shown = f"{value['value']:.3f}"
    if with_interval and value["low"] is not None:
        shown += f" [dim]{value['low']:.3f}–{value['high']:.3f}[/dim]"
    return shown


def print_metrics(metrics: Mapping[str, Any], console: Console) -> None:
    """Print averages, findings (at most 25, by AUROC), and group differences."""
    console.print(_findings(metrics))
    hidden = len(metrics["findings"]) - _MOST_ROWS
    if hidden > 0:
        console.print(f"[dim]and {hidden} more findings in metrics.json and report.html[/dim]")
    parts = {name: part for name, part in metrics["fairness"].items() if "tpr_difference" in part}
    names = list(parts)
    for start in range(0, len(names), 2):
        console.print(_fairness({name: parts[name] for name in names[start : start + 2]}, start))
    gaps = [part[f"{key}_difference"] for part in parts.values() for _, key in _GAPS]
    if any(_outside(gap) for gap in gaps):
        console.print(f"[dim]{_LEANING}[/dim]")


def _outside(gap: Mapping[str, Any]) -> bool:
    """Whether an interval leaves out its own estimate."""
    return gap["low"] is not None and not gap["low"] <= gap["value"] <= gap["high"]


def _findings(metrics: Mapping[str, Any]) -> Table:
    unit = "patients" if metrics["cluster"] else "records"
    table = _table(
        f"{metrics['n_records']:,} ECGs, 95 % intervals over {metrics['resamples']:,} "
        f"resamples of {unit}"
    )
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column("pos.", justify="right", no_wrap=True)
    for title, _ in _FINDING_COLUMNS:
        table.add_column(title, no_wrap=True)
    for name in ("macro", "micro"):
        table.add_row(f"{name} average", "", *_estimates(metrics[name]), style="bold")
    findings = metrics["findings"]
    ranked = sorted(findings, key=lambda name: -(findings[name]["auroc"]["value"] or 0.0))
    for name in ranked[:_MOST_ROWS]:
        finding = findings[name]
        table.add_row(escape(name), f"{finding['n_positive']:,}", *_estimates(finding))
    return table


def _estimates(values: Mapping[str, Any]) -> list[str]:
    return [estimate(values[key], key == "auroc") for _, key in _FINDING_COLUMNS]


def _fairness(parts: Mapping[str, Any], start: int) -> Table:
    """Two attributes side by side, which fits 80 columns."""
    title = "Group differences (largest - smallest, mean over findings)"
    table = _table(title if start == 0 else "")
    table.add_column("")
    for name, part in parts.items():
        groups = list(part["groups"])
        shown = ", ".join(groups) if len(groups) <= 3 else f"{len(groups)} groups"
        table.add_column(escape(f"{name} ({shown})"), no_wrap=True)
    for row, key in _GAPS:
        table.add_row(row, *(estimate(part[f"{key}_difference"]) for part in parts.values()))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
