"""``report.html``: one self-contained page for a person, from the same numbers as the JSON."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deepecg_jax.evaluation.report.confident_errors import ConfidentError, most_confident_errors
from deepecg_jax.evaluation.report.figures import Figure, write_figures
from deepecg_jax.evaluation.report.page_figures import (
    curve_figures,
    discrimination_figure,
    fairness_figure,
    incidence_figure,
    ranked_findings,
    reliability_figures,
)
from deepecg_jax.evaluation.table.predictions import Predictions

Draw = Callable[[ConfidentError], str | None]
"""Draws the ECG of an error as SVG, or says with None that its signal is not at hand."""

_GAP_ROWS = (
    ("AUROC", "auroc_difference"),
    ("True-positive rate", "tpr_difference"),
    ("False-positive rate", "fpr_difference"),
    ("Equalized odds", "equalized_odds_difference"),
)
_TABLE = (
    ("AUROC", "auroc"),
    ("AUPRC", "auprc"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
    ("PPV", "ppv"),
    ("NPV", "npv"),
    ("F1", "f1"),
)
_CALIBRATION = (
    ("ECE", "ece"),
    ("ICI", "ici"),
    ("Brier", "brier"),
    ("Slope", "slope"),
    ("Intercept", "intercept"),
)


def write_report(
    predictions: Predictions,
    metrics: Mapping[str, Any],
    path: str | Path,
    source: str,
    draw: Draw | None = None,
) -> None:
    """Write the page, and each of its figures as SVG and CSV in ``figures/`` beside it.

    Args:
        predictions: the table that was evaluated.
        metrics: the result of `evaluate.evaluate` on it.
        path: the HTML file.
        source: what the page calls the predictions, such as the file's name.
        draw: draws the ECGs of the most confident errors, where the signals are at hand.
    """
    path = Path(path)
    page, figures = build_report(predictions, metrics, source, draw)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    write_figures(path.parent / "figures", figures)


def render_report(
    predictions: Predictions, metrics: Mapping[str, Any], source: str, draw: Draw | None = None
) -> str:
    """The page as text; the same input gives the same text."""
    return build_report(predictions, metrics, source, draw)[0]


def build_report(
    predictions: Predictions, metrics: Mapping[str, Any], source: str, draw: Draw | None = None
) -> tuple[str, list[Figure]]:
    """The page and the figures in it."""
    environment = page_environment()
    findings, ranked = metrics["findings"], ranked_findings(metrics)
    forest = discrimination_figure(metrics)
    rocs, precisions = curve_figures(predictions, metrics)
    reliability = reliability_figures(metrics)
    blocks = [_fairness(name, part) for name, part in metrics["fairness"].items()]
    survival = [
        {"name": name, "part": part, "figure": incidence_figure(name, part)}
        for name, part in metrics["survival"].items()
    ]
    errors = [
        (error, draw(error) if draw is not None else None)
        for error in most_confident_errors(predictions)
    ]
    page = environment.get_template("report.html").render(
        m=metrics,
        source=source,
        abstract=abstract(metrics),
        columns=_TABLE,
        calibration_columns=_CALIBRATION,
        ranked=ranked,
        without_both=[name for name in findings if name not in ranked],
        forest=forest,
        rocs=rocs,
        precisions=precisions,
        fairness=blocks,
        gap_rows=_GAP_ROWS,
        reliability=reliability,
        survival=survival,
        errors=errors,
        most_degenerate=_most_degenerate(metrics),
    )
    figures = [forest, *rocs, *precisions, *reliability]
    figures += [block["figure"] for block in blocks if block["figure"] is not None]
    figures += [part["figure"] for part in survival]
    return page, figures


def page_environment() -> Environment:
    """The templates of the reports, with their filters."""
    environment = Environment(
        loader=PackageLoader("deepecg_jax.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ci"] = with_interval
    environment.filters["fixed"] = _fixed
    environment.filters["signed"] = lambda value, digits=3: _fixed(value, digits, "+")
    environment.filters["p_short"] = _p_short
    environment.filters["thousands"] = lambda n: f"{n:,}"
    return environment


def abstract(metrics: Mapping[str, Any]) -> list[str]:
    """The result in a few sentences, for the head of the page and the terminal."""
    findings = metrics["findings"]
    judged = [name for name, f in findings.items() if f["auroc"]["value"] is not None]
    patients = "" if metrics["cluster"] is None else f" of {metrics['n_patients']:,} patients"
    sentences = [
        f"{metrics['n_records']:,} ECGs{patients} and {len(findings)} "
        f"{'finding' if len(findings) == 1 else 'findings'}, of which {len(judged)} have both "
        "positive and negative records."
    ]
    macro, micro = metrics["macro"]["auroc"], metrics["micro"]["auroc"]
    if macro["value"] is not None:
        sentences.append(
            f"The macro AUROC is {with_interval(macro)} and the micro AUROC {with_interval(micro)}."
        )
    if len(judged) > 1:
        best, worst = (
            pick(judged, key=lambda name: findings[name]["auroc"]["value"]) for pick in (max, min)
        )
        sentences.append(
            f"The best separated finding is {best} ({with_interval(findings[best]['auroc'])}), "
            f"the worst {worst} ({with_interval(findings[worst]['auroc'])})."
        )
    for attribute, part in metrics["fairness"].items():
        gap = part.get("equalized_odds_difference")
        if gap is not None and gap["value"] is not None:
            sentences.append(
                f"Between the groups by {attribute}, the equalized-odds difference averages "
                f"{with_interval(gap)} over {len(part['findings_compared'])} findings."
            )
    ece = metrics["calibration"]["macro"]["ece"]
    if ece is not None:
        sentences.append(f"The expected calibration error averages {ece:.3f} over findings.")
    return sentences


def with_interval(estimate: Mapping[str, Any], digits: int = 3, sign: str = "-") -> str:
    """``0.927 [0.912, 0.940]``; with `sign` ``+`` positive numbers carry one."""
    if estimate["value"] is None:
        return "–"
    value, low, high = (_fixed(estimate[key], digits, sign) for key in ("value", "low", "high"))
    return value if estimate["low"] is None else f"{value} [{low}, {high}]"


def _fixed(value: float | None, digits: int = 3, sign: str = "-") -> str:
    """Rounded; what rounds to zero has no sign."""
    if value is None:
        return "–"
    shown = f"{value:{sign}.{digits}f}"
    return f"{0.0:.{digits}f}" if float(shown) == 0 else shown.replace("-", "\N{MINUS SIGN}")


def _p_short(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _fairness(attribute: str, part: Mapping[str, Any]) -> dict[str, Any]:
    groups = list(part["groups"])
    gaps = part.get("equalized_odds_difference", {}).get("by_finding", {})
    widest = [
        (name, min(part["groups"][group]["by_finding"][name]["n_positive"] for group in groups))
        for name in sorted(gaps, key=lambda name: -gaps[name]["value"])[:10]
    ]
    return {
        "attribute": attribute,
        "part": part,
        "figure": fairness_figure(attribute, part),
        "detectable": part.get("power", {}).get("smallest_detectable"),
        "worst": _worst_groups(part),
        "comparable": bool(part["findings_compared"]) and len(groups) > 1,
        "widest": widest,
    }


def _worst_groups(part: Mapping[str, Any]) -> str:
    """``AUROC male (0.912), ...``: the group with the worst mean of each metric."""
    named = []
    for title, metric in (
        ("AUROC", "auroc"),
        ("true-positive rate", "tpr"),
        ("false-positive rate", "fpr"),
        ("PPV", "ppv"),
    ):
        found = part.get("worst_group", {}).get(metric, {}).get("mean")
        if found is not None:
            named.append(f"{title} {found['group']} ({_fixed(found['value'])})")
    return ", ".join(named)


def _most_degenerate(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Findings whose AUROC was undefined in some resamples, the worst first."""
    shares = [
        (name, finding["auroc"]["degenerate"])
        for name, finding in metrics["findings"].items()
        if finding["auroc"]["value"] is not None and finding["auroc"]["degenerate"]
    ]
    return sorted(shares, key=lambda pair: -pair[1])[:10]
