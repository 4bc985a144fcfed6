"""The evaluation as compact tables in a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deepecg_jax.evaluation.fairness.gaps import gap_columns
from deepecg_jax.evaluation.fairness.results import Gap, GroupComparison
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.evaluation.results import Evaluation

_MOST_ROWS = 25
_NAME_WIDTH = 26
_LEANING = (
    "A difference of groups cannot be negative, so chance alone makes it positive and its interval "
    "leans upwards, here beyond the estimate."
)


def estimate(value: Estimate, with_interval: bool = True) -> str:
    """``.927 [.912, .940]``, or a dash when undefined."""
    if value["value"] is None:
        return "–"
    shown = f"{value['value']:.3f}"
    if with_interval and value["low"] is not None:
        shown += f" [dim]{value['low']:.3f}–{value['high']:.3f}[/dim]"
    return shown


def print_metrics(metrics: Evaluation, console: Console) -> None:
    """Print averages, findings (at most 25, by AUROC), and group differences."""
    console.print(_findings(metrics))
    hidden = len(metrics["findings"]) - _MOST_ROWS
    if hidden > 0:
        console.print(f"[dim]and {hidden} more findings in metrics.json and report.html[/dim]")
    parts = {name: part for name, part in metrics["fairness"].items() if "tpr_difference" in part}
    names = list(parts)
    for start in range(0, len(names), 2):
        console.print(_fairness({name: parts[name] for name in names[start : start + 2]}, start))
    gaps = [part[f"{gap.name}_difference"] for part in parts.values() for gap in gap_columns()]
    if any(_outside(gap) for gap in gaps):
        console.print(f"[dim]{_LEANING}[/dim]")


def _outside(gap: Gap) -> bool:
    """Whether an interval leaves out its own estimate."""
    value, low, high = gap["value"], gap["low"], gap["high"]
    if value is None or low is None or high is None:
        return False
    return not low <= value <= high


def _findings(metrics: Evaluation) -> Table:
    unit = "patients" if metrics["cluster"] else "records"
    table = _table(
        f"{metrics['n_records']:,} ECGs, 95 % intervals over {metrics['resamples']:,} "
        f"resamples of {unit}"
    )
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column("pos.", justify="right", no_wrap=True)
    columns = [metric.name for metric in shown("terminal")]
    for metric in shown("terminal"):
        table.add_column(metric.in_terminal, no_wrap=True)
    averages: dict[str, Mapping[str, Estimate]] = {
        "macro": metrics["macro"],
        "micro": metrics["micro"],
    }
    for name, values in averages.items():
        own = [values[column] for column in columns]
        table.add_row(f"{name} average", "", *_estimates(own), style="bold")
    findings = metrics["findings"]
    ranked = sorted(findings, key=lambda name: -(findings[name]["auroc"]["value"] or 0.0))
    for name in ranked[:_MOST_ROWS]:
        finding = findings[name]
        own = [finding[column] for column in columns]
        table.add_row(escape(name), f"{finding['n_positive']:,}", *_estimates(own))
    return table


def _estimates(values: Sequence[Estimate]) -> list[str]:
    """The first with its interval, which is all that 80 columns hold."""
    return [estimate(value, with_interval=i == 0) for i, value in enumerate(values)]


def _fairness(parts: Mapping[str, GroupComparison], start: int) -> Table:
    """Two attributes side by side, which fits 80 columns."""
    title = "Group differences (largest - smallest, mean over findings)"
    table = _table(title if start == 0 else "")
    table.add_column("")
    for name, part in parts.items():
        groups = list(part["groups"])
        shown = ", ".join(groups) if len(groups) <= 3 else f"{len(groups)} groups"
        table.add_column(escape(f"{name} ({shown})"), no_wrap=True)
    for gap in gap_columns():
        own = [part[f"{gap.name}_difference"] for part in parts.values()]
        table.add_row(gap.in_text, *(estimate(value) for value in own))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
