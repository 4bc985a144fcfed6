"""``index.html`` of a sweep: what came out, for a person."""

from pathlib import Path

from deepecg_jax.evaluation.report.figures import Figure, write_figures
from deepecg_jax.evaluation.report.page import page_environment, with_interval
from deepecg_jax.files import write_whole
from deepecg_jax.sweep.planning.config import SweepConfig
from deepecg_jax.sweep.planning.names import point_text, value_text
from deepecg_jax.sweep.results.figures import (
    cost_figure,
    difference_figure,
    effect_figures,
    score_figure,
)
from deepecg_jax.sweep.results.outcomes import SweepResult
from deepecg_jax.sweep.results.tables import (
    OUTCOME_HEADS,
    outcome_cells,
    summary_cells,
    summary_heads,
)


def write_page(folder: Path, result: SweepResult, sweep: SweepConfig) -> None:
    """Write the page, and each of its figures as SVG and CSV in ``figures/`` beside it."""
    page, figures = build_page(folder.name or str(folder), result, sweep)
    write_whole(folder / "index.html", page.encode())
    write_figures(folder / "figures", figures)


def build_page(name: str, result: SweepResult, sweep: SweepConfig) -> tuple[str, list[Figure]]:
    """The page and the figures in it; the same input gives the same text."""
    has_scores = any(row.mean is not None for row in result.summaries)
    scores = score_figure(result) if has_scores else None
    differences = difference_figure(result)
    effects = effect_figures(result, sweep.grid)
    cost = cost_figure(result)
    page = (
        page_environment("deepecg_jax.sweep.results")
        .get_template("sweep.html")
        .render(
            name=name,
            abstract=abstract(result),
            result=result,
            sweep=sweep,
            keys=list(result.keys),
            value_text=value_text,
            summary_heads=summary_heads(result.reference),
            summary_cells=summary_cells,
            outcome_heads=OUTCOME_HEADS,
            outcome_cells=outcome_cells,
            scores=scores,
            differences=differences,
            effects=effects,
            cost=cost,
        )
    )
    figures = [figure for figure in (scores, differences, cost) if figure is not None]
    return page, [*figures, *(figure for _, figure in effects)]


def abstract(result: SweepResult) -> list[str]:
    """The result in a few sentences."""
    counts = {
        status: sum(row.status == status for row in result.outcomes)
        for status in ("done", "failed", "running")
    }
    words = [f"{counts['done']} of {len(result.outcomes)} runs are done"]
    words += [f"{counts['failed']} failed"] if counts["failed"] else []
    words += [f"{counts['running']} are not finished"] if counts["running"] else []
    sentences = [", ".join(words) + "."]
    scored = [row for row in result.summaries if row.mean is not None]
    if scored:
        best = max(scored, key=lambda row: row.mean or 0.0)
        at = f" at {point_text(best.point)}" if best.point else ""
        sentences.append(
            f"The highest mean macro AUROC is that of {best.run}{at}, "
            f"{with_interval(best.over_patients)}; the highest of several is flattered by chance."
        )
    sure = [row for row in scored if row.p_holm is not None and row.p_holm < 0.05]
    if any(row.p_holm is not None for row in scored):
        better = sum((row.difference["value"] or 0.0) > 0 for row in sure)
        sentences.append(
            f"At the 5 % level (Holm), {better} are better than {result.reference} and "
            f"{len(sure) - better} worse."
        )
    return sentences
