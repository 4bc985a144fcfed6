"""``report.html``: one self-contained page for a person, from the same numbers as the JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deepecg_jax.evaluation.charts import forest, group_dots, unit_square
from deepecg_jax.evaluation.curves import roc_curve
from deepecg_jax.evaluation.predictions import Predictions

_GROUP_ROWS = (("AUROC", "auroc"), ("True-positive rate", "tpr"), ("False-positive rate", "fpr"),
               ("PPV", "ppv"), ("Selection rate", "selection_rate"))  # fmt: skip
_GAP_ROWS = (("AUROC", "auroc_difference"), ("True-positive rate", "tpr_difference"),
             ("False-positive rate", "fpr_difference"),
             ("Equalized odds", "equalized_odds_difference"))  # fmt: skip
_TABLE = (("AUROC", "auroc"), ("AUPRC", "auprc"), ("Sensitivity", "sensitivity"),
          ("Specificity", "specificity"), ("PPV", "ppv"), ("F1", "f1"))  # fmt: skip
_RELIABILITY_SHOWN = 11


def write_report(
    predictions: Predictions, metrics: Mapping[str, Any], path: str | Path, source: str
) -> None:
    """Write the page.

    Args:
        predictions: the table that was evaluated.
        metrics: the result of `evaluate.evaluate` on it.
        path: the HTML file.
        source: what the page calls the predictions, such as the file's name.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(render_report(predictions, metrics, source), encoding="utf-8")


def render_report(predictions: Predictions, metrics: Mapping[str, Any], source: str) -> str:
    """The page as text; the same input gives the same text."""
    environment = Environment(
        loader=PackageLoader("deepecg_jax.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ci"] = _with_interval
    environment.filters["fixed"] = _fixed
    environment.filters["thousands"] = lambda n: f"{n:,}"
    findings = metrics["findings"]
    ranked = sorted(
        (name for name in findings if findings[name]["auroc"]["value"] is not None),
        key=lambda name: -findings[name]["auroc"]["value"],
    )
    averages = [
        ("macro average", metrics["macro"]["auroc"], True),
        ("micro average", metrics["micro"]["auroc"], True),
    ]
    return environment.get_template("report.html").render(
        m=metrics,
        source=source,
        abstract=abstract(metrics),
        columns=_TABLE,
        without_both=[name for name in findings if name not in ranked],
        forest=forest(
            [(name, findings[name]["auroc"], False) for name in ranked] + averages, "AUROC"
        ),
        rocs=[_roc(predictions, metrics, name) for name in ranked],
        fairness=[_fairness(name, part) for name, part in metrics["fairness"].items()],
        gap_rows=_GAP_ROWS,
        reliability=_reliability(metrics, ranked),
        most_degenerate=_most_degenerate(metrics),
    )


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
            f"The macro AUROC is {_with_interval(macro)} and the micro AUROC "
            f"{_with_interval(micro)}."
        )
    if len(judged) > 1:
        best, worst = (
            pick(judged, key=lambda name: findings[name]["auroc"]["value"]) for pick in (max, min)
        )
        sentences.append(
            f"The best separated finding is {best} ({_with_interval(findings[best]['auroc'])}), "
            f"the worst {worst} ({_with_interval(findings[worst]['auroc'])})."
        )
    for attribute, part in metrics["fairness"].items():
        gap = part.get("equalized_odds_difference")
        if gap is not None and gap["value"] is not None:
            sentences.append(
                f"Between the groups by {attribute}, the equalized-odds difference averages "
                f"{_with_interval(gap)} over {len(part['findings_compared'])} findings."
            )
    ece = metrics["calibration"]["macro"]["ece"]
    if ece is not None:
        sentences.append(f"The expected calibration error averages {ece:.3f} over findings.")
    return sentences


def _with_interval(estimate: Mapping[str, Any], digits: int = 3) -> str:
    if estimate["value"] is None:
        return "–"
    value = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is None:
        return value
    return f"{value} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def _fixed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _roc(predictions: Predictions, metrics: Mapping[str, Any], name: str) -> str:
    j = predictions.names.index(name)
    known = predictions.labels[:, j] >= 0
    curve = roc_curve(predictions.labels[known, j] == 1, predictions.scores[known, j])
    finding = metrics["findings"][name]
    at = (1 - finding["specificity"]["value"], finding["sensitivity"]["value"])
    note = f"AUROC {finding['auroc']['value']:.3f}, {finding['n_positive']:,} positive"
    return unit_square(curve, name, note, ("false-positive rate", "true-positive rate"), mark=at)


def _reliability(metrics: Mapping[str, Any], ranked: list[str]) -> list[str]:
    calibration, findings = metrics["calibration"], metrics["findings"]
    common = sorted(ranked, key=lambda name: -findings[name]["n_positive"])[:_RELIABILITY_SHOWN]
    parts = [("all findings, flattened", calibration["micro"])]
    parts += [(name, calibration["findings"][name]) for name in common]
    return [
        unit_square(
            [(b["mean_score"], b["positive_rate"]) for b in part["bins"]],
            name,
            f"ECE {_fixed(part['ece'])}",
            ("mean score", "share positive"),
            dots=True,
        )
        for name, part in parts
    ]


def _fairness(attribute: str, part: Mapping[str, Any]) -> dict[str, Any]:
    groups = list(part["groups"])
    rows = [
        (title, [part["groups"][group]["intervals"][metric] for group in groups])
        for title, metric in _GROUP_ROWS
    ]
    gaps = part.get("equalized_odds_difference", {}).get("by_finding", {})
    widest = [
        (name, min(part["groups"][group]["by_finding"][name]["n_positive"] for group in groups))
        for name in sorted(gaps, key=lambda name: -gaps[name]["value"])[:10]
    ]
    compared = bool(part["findings_compared"])
    return {
        "attribute": attribute,
        "part": part,
        "figure": group_dots(groups, rows) if compared else None,
        "comparable": compared and len(groups) > 1,
        "widest": widest,
    }


def _most_degenerate(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Findings whose AUROC was undefined in some resamples, the worst first."""
    shares = [
        (name, finding["auroc"]["degenerate"])
        for name, finding in metrics["findings"].items()
        if finding["auroc"]["value"] is not None and finding["auroc"]["degenerate"]
    ]
    return sorted(shares, key=lambda pair: -pair[1])[:10]
