"""A comparison of two models as a compact table in a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deepecg_jax.evaluation.comparison.results import ComparisonResult, Entry

_MOST_ROWS = 25
_NAME_WIDTH = 26


def print_comparison(comparison: ComparisonResult, console: Console) -> None:
    """Print AUROC of both models, the averages and at most 25 findings, surest difference first."""
    unit = "patients" if comparison["cluster"] else "records"
    table = Table(
        title=f"AUROC on {comparison['n_matched']:,} common ECGs, A - B with 95 % intervals over "
        f"{comparison['resamples']:,} resamples of {unit}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    for title in ("A", "B", "A - B", "p", "p Holm"):
        table.add_column(title, no_wrap=True)
    averages: dict[str, Entry] = {"macro": comparison["macro"], "micro": comparison["micro"]}
    for name, entry in averages.items():
        table.add_row(f"{name} average", *_cells(entry, entry["p_bootstrap"]), style="bold")
    findings, kind = comparison["findings"], comparison["adjusted"]["findings"]["p"]

    def sureness(name: str) -> float:
        p = findings[name][kind]
        return 2.0 if p is None else p

    ranked = sorted(findings, key=sureness)
    for name in ranked[:_MOST_ROWS]:
        table.add_row(escape(name), *_cells(findings[name], findings[name][kind]))
    console.print(table)
    console.print(f"[dim]p of findings: {kind}; of averages: p_bootstrap[/dim]")
    if len(ranked) > _MOST_ROWS:
        console.print(f"[dim]and {len(ranked) - _MOST_ROWS} more findings in comparison.csv[/dim]")
    missing = comparison["only_in_a"], comparison["only_in_b"]
    if any(missing):
        console.print(
            f"[yellow]left out: {missing[0]:,} ECGs only in A, {missing[1]:,} only in B[/yellow]"
        )


def _cells(entry: Entry, p: float | None) -> list[str]:
    gap = entry["difference"]
    shown = "–"
    if gap["value"] is not None:
        shown = f"{gap['value']:+.3f}"
        if gap["low"] is not None:
            shown += f" [dim]{gap['low']:+.3f} to {gap['high']:+.3f}[/dim]"
    values = ["–" if entry[key] is None else f"{entry[key]:.3f}" for key in ("a", "b")]
    return [*values, shown, _p(p), _p(entry.get("p_holm"))]


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "<.001" if value < 0.001 else f"{value:.3f}"
