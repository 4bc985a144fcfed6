"""``comparison.html``: two models side by side for a person, from the numbers of the JSON."""

from pathlib import Path

from deepecg_jax.evaluation.comparison.results import ComparisonResult, FindingEntry
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.report.comparison_charts import decision_curves, difference_forest
from deepecg_jax.evaluation.report.estimates import defined
from deepecg_jax.evaluation.report.figures import Figure, write_figures
from deepecg_jax.evaluation.report.page import page_environment, with_interval


def write_comparison_report(comparison: ComparisonResult, path: str | Path) -> None:
    """Write the page, and each of its figures as SVG and CSV in ``figures/`` beside it.

    Args:
        comparison: the result of `compare.compare`, with the models' names ``a`` and ``b``.
        path: the HTML file.
    """
    path = Path(path)
    page, figures = build_comparison_report(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    write_figures(path.parent / "figures", figures)


def build_comparison_report(comparison: ComparisonResult) -> tuple[str, list[Figure]]:
    """The page and the figures in it; the same input gives the same text."""
    findings = comparison["findings"]
    kind = comparison["adjusted"]["findings"]["p"]
    judged = defined({name: part["difference"] for name, part in findings.items()})
    rows = [(name, findings[name]["difference"], False) for name in judged]
    rows.append(("macro average", comparison["macro"]["difference"], True))
    rows.append(("micro average", comparison["micro"]["difference"], True))
    forest = Figure(
        "difference",
        difference_forest(rows, "Difference of AUROC, A - B"),
        [{"name": n, **{k: part[k] for k in ("value", "low", "high")}} for n, part, _ in rows],
    )
    in_order = [name for name in findings if name in judged]
    common = sorted(in_order, key=lambda name: -findings[name]["n_positive"])
    decisions = [_decision(name, findings[name]) for name in common]
    columns = shown("comparison")
    page = (
        page_environment()
        .get_template("comparison.html")
        .render(
            c=comparison,
            abstract=abstract(comparison),
            p=kind,
            metrics=columns,
            lower_is_better=[m.title for m in columns if m.higher_is_better is False],
            without=[name for name in findings if name not in judged],
            forest=forest,
            decisions=decisions,
        )
    )
    return page, [forest, *decisions]


def _decision(name: str, finding: FindingEntry) -> Figure:
    curve = finding["decision_curve"]
    points = zip(curve["threshold"], curve["a"], curve["b"], curve["all"], strict=True)
    rows = [{"threshold": t, "a": a, "b": b, "all": everybody} for t, a, b, everybody in points]
    note = f"{finding['n_positive']:,} of {finding['n']:,} positive"
    return Figure(f"decision_{name}", decision_curves(name, note, curve), rows)


def abstract(comparison: ComparisonResult) -> list[str]:
    """The result in a few sentences."""
    findings, macro = comparison["findings"], comparison["macro"]
    of_patients = (
        "" if comparison["cluster"] is None else f" of {comparison['n_patients']:,} patients"
    )
    sentences = [
        f"Models A and B were compared on {comparison['n_matched']:,} common ECGs{of_patients} and "
        f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}."
    ]
    gap = macro["difference"]
    if gap["value"] is not None:
        sentences.append(
            f"The macro AUROC is {macro['a']:.3f} for A and {macro['b']:.3f} for B, a difference "
            f"of {with_interval(gap, sign='+')} (p {p_value(macro['p_bootstrap'])})."
        )
    better = {"A": 0, "B": 0}
    for part in findings.values():
        p, gap = part.get("p_holm"), part["difference"]["value"]
        if p is not None and gap is not None and p < 0.05:
            better["A" if gap > 0 else "B"] += 1
    tested = comparison["adjusted"]["findings"]["family"]
    if tested:
        sentences.append(
            f"After Holm's adjustment over {tested} findings, the AUROC of A is higher in "
            f"{better['A']} and that of B in {better['B']} at the 5 % level."
        )
    return sentences


def p_value(value: float | None) -> str:
    """``= 0.032`` or ``< 0.001``."""
    if value is None:
        return "unknown"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
