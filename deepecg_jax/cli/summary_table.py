"""A data set's ``summary.json`` as rich tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.labels.titles import title_of
from deepecg_jax.speed import per_second

if TYPE_CHECKING:
    from deepecg_jax.data.staging.summary import SplitSummary, Summary

_BRIEF_LABELS = 12


def print_summary(summary: "Summary", folder: Path, brief: bool = False) -> None:
    """Print splits, labels, repairs and rejects; ``brief`` shows the first labels only."""
    rate = summary.get("ecg_per_s")
    speed = f", {per_second(rate, 'ECG')}" if rate else ""
    console.print(
        f"[bold]{escape(summary['name'])}[/] {summary['version']}: {summary['records']:,} ECGs of "
        f"{summary['patients']:,} patients (built in {summary['seconds']:,.1f} s{speed})",
        highlight=False,
    )
    console.print(escape(str(folder)), soft_wrap=True, highlight=False)
    for note in summary["notes"]:
        console.print(f"[yellow]Note:[/] {escape(note)}", highlight=False)
    console.print(_splits(summary["splits"]))
    console.print(_labels(summary["labels"], list(summary["splits"]), brief))
    if summary["counts"]:
        console.print(_counts("noticed or repaired", summary["counts"]))
    rejects = summary["rejects"]
    if rejects["total"]:
        title = f"{rejects['total']:,} rejected (rejects.parquet)"
        console.print(_counts(title, rejects["by_reason"]))
    else:
        console.print("No ECG was rejected.")


def _splits(splits: "dict[str, SplitSummary]") -> Table:
    table = Table("split", title="splits", title_justify="left")
    for name in ("ECGs", "patients", "female", "male", "unknown", "median age", "folds"):
        table.add_column(name, justify="right")
    for split, values in splits.items():
        sex, age = values["sex"], values["age_median"]
        table.add_row(
            split,
            f"{values['records']:,}",
            f"{values['patients']:,}",
            *(f"{sex.get(name, 0):,}" for name in ("female", "male", "unknown")),
            "-" if age is None else f"{age:.0f}",
            _ranges(values["folds"]) or "-",
        )
    return table


def _labels(labels: dict[str, dict[str, dict[str, int]]], splits: list[str], brief: bool) -> Table:
    """Positives and their share of the ECGs for which the label is known, most frequent first
    when brief; labels that are never positive are only counted."""
    present = [
        name
        for name, values in labels.items()
        if any(values[split]["positive"] for split in splits)
    ]
    if brief:
        present.sort(key=lambda name: -sum(labels[name][split]["positive"] for split in splits))
    shown = present[: _BRIEF_LABELS if brief else None]
    absent, more = len(labels) - len(present), len(present) - len(shown)
    title = f"labels: {len(labels)}, of which {absent} are never positive"
    table = Table(title=title, title_justify="left")
    table.add_column("label", overflow="fold")
    if more:
        table.caption = f"the most frequent; deepecg inspect shows {more} more"
    for split in splits:
        table.add_column(split, justify="right", no_wrap=True)
    for name in shown:
        meaning = title_of(name)
        words = f"{escape(name)} [dim]{escape(meaning)}[/]" if meaning else escape(name)
        table.add_row(words, *(_share(labels[name][split]) for split in splits))
    return table


def _share(values: dict[str, int]) -> str:
    known = values["positive"] + values["negative"]
    share = f"{100 * values['positive'] / known:.1f} %" if known else "unknown"
    return f"{values['positive']:,} ({share})"


def _ranges(numbers: list[int]) -> str:
    """``[1, 2, 3, 7]`` -> ``1-3, 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)


def _counts(title: str, counts: dict[str, int]) -> Table:
    table = Table("what", title=title, title_justify="left")
    table.add_column("ECGs", justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    return table
