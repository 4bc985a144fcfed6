"""``report.html``: one self-contained page for a person, from the same numbers as the JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from deepecg_jax.evaluation.fairness.gaps import EQUALIZED_ODDS, gap_columns
from deepecg_jax.evaluation.fairness.results import DetectableGap, GroupComparison
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.report.confident_errors import ConfidentError, most_confident_errors
from deepecg_jax.evaluation.report.estimates import defined
from deepecg_jax.evaluation.report.figures import Figure, write_figures
from deepecg_jax.evaluation.report.page_figures import (
    curve_figures,
    discrimination_figure,
    fairness_figure,
    incidence_figure,
    ranked_findings,
    reliability_figures,
)
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.evaluation.results import Evaluation
from deepecg_jax.evaluation.survival.results import SurvivalResult
from deepecg_jax.evaluation.table.predictions import Predictions

Draw = Callable[[ConfidentError], str | None]
"""Draws the ECG of an error as SVG, or says with None that its signal is not at hand."""

_CALIBRATION = (
    ("ECE", "ece"),
    ("ICI", "ici"),
    ("Brier", "brier"),
    ("Slope", "slope"),
    ("Intercept", "intercept"),
)


@dataclass(frozen=True)
class FairnessBlock:
    """What the page says of one attribute.

    Attributes:
        attribute: such as ``sex``.
        part: its numbers.
        figure: the groups side by side; ``None`` where no finding can be compared.
        detectable: name in JSON -> smallest detectable gap.
        worst: the worst groups in one line.
        comparable: whether there are differences to show.
        widest: findings with the widest equalized-odds difference, and their fewest positives in a
            group.
    """

    attribute: str
    part: GroupComparison
    figure: Figure | None
    detectable: dict[str, DetectableGap]
    worst: str
    comparable: bool
    widest: list[tuple[str, int]]


@dataclass(frozen=True)
class SurvivalBlock:
    """What the page says of one score's survival analysis."""

    name: str
    part: SurvivalResult
    figure: Figure


def write_report(
    predictions: Predictions,
    metrics: Evaluation,
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


def build_report(
    predictions: Predictions, metrics: Evaluation, source: str, draw: Draw | None = None
) -> tuple[str, list[Figure]]:
    """The page as text and the figures in it; the same input gives the same text."""
    environment = page_environment()
    findings, ranked = metrics["findings"], ranked_findings(metrics)
    forest = discrimination_figure(metrics)
    rocs, precisions = curve_figures(predictions, metrics)
    reliability = reliability_figures(metrics)
    blocks = [_fairness(name, part) for name, part in metrics["fairness"].items()]
    survival = [
        SurvivalBlock(name, part, incidence_figure(name, part))
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
        head=shown("head"),
        columns=shown("findings"),
        averages=shown("averages"),
        decisions=shown("decisions"),
        calibration_columns=_CALIBRATION,
        ranked=ranked,
        without_both=[name for name in findings if name not in ranked],
        forest=forest,
        rocs=rocs,
        precisions=precisions,
        fairness=blocks,
        gap_columns=gap_columns(),
        reliability=reliability,
        survival=survival,
        errors=errors,
        most_degenerate=_most_degenerate(metrics),
    )
    figures = [forest, *rocs, *precisions, *reliability]
    figures += [block.figure for block in blocks if block.figure is not None]
    figures += [block.figure for block in survival]
    return page, figures


def page_environment(*packages: str) -> Environment:
    """The templates of the reports, and before them those of other packages, with the filters."""
    loaders = [PackageLoader(name) for name in (*packages, "deepecg_jax.evaluation.report")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
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


def abstract(metrics: Evaluation) -> list[str]:
    """The result in a few sentences, for the head of the page and the terminal."""
    findings = metrics["findings"]
    judged = defined({name: part["auroc"] for name, part in findings.items()})
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
        # of equals, the first in the table
        best, worst = (
            pick((name for name in findings if name in judged), key=lambda name: judged[name])
            for pick in (max, min)
        )
        sentences.append(
            f"The best separated finding is {best} ({with_interval(findings[best]['auroc'])}), "
            f"the worst {worst} ({with_interval(findings[worst]['auroc'])})."
        )
    for attribute, part in metrics["fairness"].items():
        gap = part.get(f"{EQUALIZED_ODDS}_difference")
        if gap is not None and gap["value"] is not None:
            sentences.append(
                f"Between the groups by {attribute}, the equalized-odds difference averages "
                f"{with_interval(gap)} over {len(part['findings_compared'])} findings."
            )
    ece = metrics["calibration"]["macro"]["ece"]
    if ece is not None:
        sentences.append(f"The expected calibration error averages {ece:.3f} over findings.")
    return sentences


def with_interval(estimate: Estimate, digits: int = 3, sign: str = "-") -> str:
    """``0.927 [0.912, 0.940]``; with `sign` ``+`` positive numbers carry one."""
    if estimate["value"] is None:
        return "–"
    value = _fixed(estimate["value"], digits, sign)
    low, high = (_fixed(end, digits, sign) for end in (estimate["low"], estimate["high"]))
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


def _fairness(attribute: str, part: GroupComparison) -> FairnessBlock:
    groups = list(part["groups"])
    gap = part.get(f"{EQUALIZED_ODDS}_difference")
    gaps = defined({} if gap is None else gap.get("by_finding", {}))
    widest = [
        (name, min(part["groups"][group]["by_finding"][name]["n_positive"] for group in groups))
        for name in list(gaps)[:10]
    ]
    return FairnessBlock(
        attribute,
        part,
        fairness_figure(attribute, part),
        part["power"]["smallest_detectable"] if "power" in part else {},
        _worst_groups(part),
        bool(part["findings_compared"]) and len(groups) > 1,
        widest,
    )


def _worst_groups(part: GroupComparison) -> str:
    """``AUROC male (0.912), ...``: the group with the worst mean of each metric."""
    named = []
    for metric in shown("worst_group"):
        worst = part["worst_group"][metric.in_groups]["mean"] if "worst_group" in part else None
        if worst is not None:
            named.append(f"{metric.of_groups_in_text} {worst['group']} ({_fixed(worst['value'])})")
    return ", ".join(named)


def _most_degenerate(metrics: Evaluation) -> list[tuple[str, float]]:
    """Findings whose AUROC was undefined in some resamples, the worst first."""
    shares = [
        (name, finding["auroc"]["degenerate"])
        for name, finding in metrics["findings"].items()
        if finding["auroc"]["value"] is not None and finding["auroc"]["degenerate"]
    ]
    return sorted(shares, key=lambda pair: -pair[1])[:10]
