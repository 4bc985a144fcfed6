"""All figures of the report, from a predictions table and its metrics."""

from collections.abc import Sequence

import numpy as np

from deepecg_jax.evaluation.calibration.results import Bin
from deepecg_jax.evaluation.discrimination.curves import (
    BAND_RESAMPLES,
    Band,
    curve_bands,
    pr_curve,
    roc_curve,
)
from deepecg_jax.evaluation.fairness.results import GroupComparison
from deepecg_jax.evaluation.metrics.table import shown
from deepecg_jax.evaluation.report.charts import forest, group_dots, incidence, unit_square
from deepecg_jax.evaluation.report.estimates import defined
from deepecg_jax.evaluation.report.figures import Figure
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.results import Evaluation
from deepecg_jax.evaluation.survival.results import SurvivalResult
from deepecg_jax.evaluation.table.predictions import Predictions

RELIABILITY_SHOWN = 11


def ranked_findings(metrics: Evaluation) -> list[str]:
    """Findings with an AUROC, the best separated first."""
    return list(defined({name: part["auroc"] for name, part in metrics["findings"].items()}))


def discrimination_figure(metrics: Evaluation) -> Figure:
    """AUROC of every finding with its interval, and the averages."""
    rows = [(name, metrics["findings"][name]["auroc"], False) for name in ranked_findings(metrics)]
    rows.append(("macro average", metrics["macro"]["auroc"], True))
    rows.append(("micro average", metrics["micro"]["auroc"], True))
    table = [{"name": name, **_estimate(part)} for name, part, _ in rows]
    return Figure("auroc", forest(rows, "AUROC"), table)


def curve_figures(
    predictions: Predictions, metrics: Evaluation
) -> tuple[list[Figure], list[Figure]]:
    """ROC and precision-recall curves with bands, one of each a finding."""
    drawn = Resampling(metrics["resamples"], metrics["seed"], metrics["cluster"])
    resampler = drawn.resampler(predictions.patient_id)
    names = ranked_findings(metrics)
    parts = [_known(predictions, name) for name in names]
    bands = curve_bands(parts, resampler, min(metrics["resamples"], BAND_RESAMPLES))
    pairs = [
        _curves(metrics, name, positive, scores, band)
        for name, (positive, scores, _), band in zip(names, parts, bands, strict=True)
    ]
    return [roc for roc, _ in pairs], [pr for _, pr in pairs]


def _known(predictions: Predictions, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and rows of the records whose label is known."""
    j = predictions.names.index(name)
    rows = np.flatnonzero(predictions.labels[:, j] >= 0)
    return predictions.labels[rows, j] == 1, predictions.scores[rows, j], rows


def _curves(
    metrics: Evaluation,
    name: str,
    positive: np.ndarray,
    scores: np.ndarray,
    bands: tuple[Band, Band],
) -> tuple[Figure, Figure]:
    finding = metrics["findings"][name]
    # a finding that has a curve has both classes, and so both of these
    sensitivity, specificity = finding["sensitivity"]["value"], finding["specificity"]["value"]
    assert sensitivity is not None and specificity is not None
    ppv = finding["ppv"]["value"]
    note = f"{finding['auroc']['value']:.3f}, {finding['n_positive']:,} positive"
    roc = _square(
        f"roc_{name}",
        name,
        f"AUROC {note}",
        roc_curve(positive, scores),
        bands[0],
        ("false-positive rate", "true-positive rate"),
        (1 - specificity, sensitivity),
        True,
    )
    prevalence = positive.mean()
    precision = _square(
        f"pr_{name}",
        name,
        f"AUPRC {finding['auprc']['value']:.3f}, prevalence {prevalence:.3f}",
        pr_curve(positive, scores),
        bands[1],
        ("recall", "precision"),
        None if ppv is None else (sensitivity, ppv),
        False,
    )
    return roc, precision


def _square(
    file: str,
    name: str,
    note: str,
    curve: Sequence[tuple[float, float]],
    band: Band,
    axes: tuple[str, str],
    mark: tuple[float, float] | None,
    diagonal: bool,
) -> Figure:
    x_name, y_name = (axis.replace(" ", "_").replace("-", "_") for axis in axes)
    rows = [{x_name: x, y_name: y, "low": "", "high": "", "kind": "curve"} for x, y in curve]
    rows += [
        {x_name: float(x), y_name: "", "low": float(low), "high": float(high), "kind": "band"}
        for x, low, high in zip(band.x, band.low, band.high, strict=True)
    ]
    edges = (band.x.tolist(), band.low.tolist(), band.high.tolist())
    drawing = unit_square(curve, name, note, axes, mark=mark, band=edges, diagonal=diagonal)
    return Figure(file, drawing, rows)


def reliability_figures(metrics: Evaluation) -> list[Figure]:
    """Observed share against mean score: all findings flattened, and the most common ones."""
    calibration, findings = metrics["calibration"], metrics["findings"]
    common = sorted(ranked_findings(metrics), key=lambda name: -findings[name]["n_positive"])
    parts = [("all findings, flattened", calibration["micro"])]
    parts += [(name, calibration["findings"][name]) for name in common[:RELIABILITY_SHOWN]]
    figures = []
    for name, part in parts:
        bins = part["bins"]
        band = None
        if bins and bins[0].get("positive_rate_low") is not None:
            band = ([b["mean_score"] for b in bins], *_rate_band(bins))
        drawing = unit_square(
            [(b["mean_score"], b["positive_rate"]) for b in bins],
            name,
            f"ECE {'–' if part['ece'] is None else format(part['ece'], '.3f')}",
            ("mean score", "share positive"),
            dots=True,
            band=band,
        )
        figures.append(Figure(f"reliability_{name}", drawing, bins))
    return figures


def _rate_band(bins: Sequence[Bin]) -> tuple[list[float], list[float]]:
    """The ends of each bin's interval, both its share of positives where it has none."""
    pairs = [(b["positive_rate"], b["positive_rate_low"], b["positive_rate_high"]) for b in bins]
    return (
        [rate if low is None else low for rate, low, _ in pairs],
        [rate if high is None else high for rate, _, high in pairs],
    )


def fairness_figure(attribute: str, part: GroupComparison) -> Figure | None:
    """Group values with intervals; None where no finding can be compared."""
    if not part["findings_compared"]:
        return None
    groups = list(part["groups"])
    rows = [
        (metric.of_groups, [part["groups"][g]["intervals"][metric.in_groups] for g in groups])
        for metric in shown("group_figure")
    ]
    table = [
        {"metric": title, "group": group, **_estimate(estimate)}
        for title, estimates in rows
        for group, estimate in zip(groups, estimates, strict=True)
    ]
    return Figure(f"fairness_{attribute}", group_dots(groups, rows), table)


def incidence_figure(name: str, survival: SurvivalResult) -> Figure:
    """Cumulative incidence by risk group."""
    curves = survival["curves"]
    rows = [{"group": group, **row} for group, part in curves.items() for row in part]
    return Figure(f"incidence_{name}", incidence(curves, survival["horizon_years"]), rows)


def _estimate(part: Estimate) -> dict[str, float | None]:
    return {"value": part["value"], "low": part["low"], "high": part["high"]}
