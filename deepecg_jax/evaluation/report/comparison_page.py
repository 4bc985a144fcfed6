"""``comparison.html``: two models side by side for a person, from the numbers of the JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepecg_jax.evaluation.report.comparison_charts import decision_curves, difference_forest
from deepecg_jax.evaluation.report.figures import Figure, write_figures
from deepecg_jax.evaluation.report.page import page_environment, with_interval

_METRICS = (
    ("AUPRC", "auprc"),
    ("Brier", "brier"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
)
_AVERAGES = (("AUROC", "auroc"), *_METRICS)


def write_comparison_report(comparison: Mapping[str, Any], path: str | Path) -> None:
    """Write the page, and each of its figures as SVG and CSV in ``figures/`` beside it.

    Args:
        comparison: the result of `comparison.compare`, with the models' names ``a`` and ``b``.
        path: the HTML file.
    """
    path = Path(path)
    page, figures = build_comparison_report(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    write_figures(path.parent / "figures", figures)


def build_comparison_report(comparison: Mapping[str, Any]) -> tuple[str, list[Figure]]:
    """The page and the figures in it; the same input gives the same text."""
    findings = comparison["findings"]
    kind = comparison["adjusted"]["findings"]["p"]
    judged = [name for name, part in findings.items() if part["difference"]["value"] is not None]
    ranked = sorted(judged, key=lambda name: -findings[name]["difference"]["value"])
    rows = [(name, findings[name]["difference"], False) for name in ranked]
    rows += [(f"{k} average", comparison[k]["difference"], True) for k in ("macro", "micro")]
    forest = Figure(
        "difference",
        difference_forest(rows, "Difference of AUROC, A - B"),
        [{"name": n, **{k: part[k] for k in ("value", "low", "high")}} for n, part, _ in rows],
    )
    common = sorted(judged, key=lambda name: -findings[name]["n_positive"])
    decisions = [_decision(name, findings[name]) for name in common]
    page = (
        page_environment()
        .get_template("comparison.html")
        .render(
            c=comparison,
            abstract=abstract(comparison, kind),
            p=kind,
            metrics=_METRICS,
            averages=_AVERAGES,
            without=[name for name in findings if name not in judged],
            forest=forest,
            decisions=decisions,
        )
    )
    return page, [forest, *decisions]


def _decision(name: str, finding: Mapping[str, Any]) -> Figure:
    curve = finding["decision_curve"]
    rows: list[dict[str, Any]] = [
        dict(zip(("threshold", "a", "b", "all"), values, strict=True))
        for values in zip(*(curve[key] for key in ("threshold", "a", "b", "all")), strict=True)
    ]
    note = f"{finding['n_positive']:,} of {finding['n']:,} positive"
    return Figure(f"decision_{name}", decision_curves(name, note, curve), rows)


def abstract(comparison: Mapping[str, Any], kind: str) -> list[str]:
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
    sure = [
        name
        for name, part in findings.items()
        if part["p_holm"] is not None and part["p_holm"] < 0.05
    ]
    better = {"A": 0, "B": 0}
    for name in sure:
        better["A" if findings[name]["difference"]["value"] > 0 else "B"] += 1
    tested = sum(part[kind] is not None for part in findings.values())
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
