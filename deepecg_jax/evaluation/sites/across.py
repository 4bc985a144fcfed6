"""Does a metric hold from site to site?"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.threshold_metrics import METRICS, all_metrics
from deepecg_jax.evaluation.discrimination.thresholds import DEFAULT, align_thresholds
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.sites.meta_analysis import Tau2, random_effects
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1
SITE = "site"


def across_sites(
    predictions: Predictions,
    metric: str = "auroc",
    site_column: str = SITE,
    findings: Sequence[str] | None = None,
    thresholds: dict[str, float] | None = None,
    method: Tau2 = "reml",
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
) -> dict[str, Any]:
    """A metric pooled, at each site, and meta-analysed over the sites.

    Sites are pooled on the logit scale, where the metric of a site is nearer to normal (a metric of
    0 or 1 has no logit: that site is left out and named), with the variance over that site's own
    resamples of patients; intervals are turned back into the metric.

    Args:
        metric: one of `threshold_metrics.METRICS`.
        site_column: a text column of the predictions; an empty site is left out and counted.
        findings: all if not given.
        thresholds: finding -> threshold, for the metrics that need one; 0.5 if not given.
        method: of tau^2, see `meta_analysis.random_effects`.
        resamples, seed, cluster: of the bootstrap, as in `evaluate.evaluate`.

    Returns:
        ``schema``, the arguments, ``without_site`` (records), ``sites``: name -> ``n_records``,
        ``n_patients``, and ``findings``: name ->

        * ``pooled``: all records together, ``{value, low, high, degenerate}``;
        * ``sites``: site -> the same with ``n``, ``n_positive``, ``weight`` (null if left out, with
          a ``reason``);
        * ``random_effects``: ``value``, ``low``, ``high``, ``prediction_low``, ``prediction_high``
          (in the metric), ``tau2``, ``i2``, ``q``, ``q_df``, ``q_p`` (on the logit scale), ``k``;
          null with no site to pool;
        * ``leave_one_out``: site -> ``random_effects`` of the others, or null;
        * ``figure``: rows of a forest plot in order, ``{label, kind, value, low, high, weight}``
          with kind ``site``, ``random_effects``, ``prediction`` or ``pooled``.

    Raises:
        UserError: no such column, metric or finding, fewer than two sites.
    """
    if metric not in METRICS:
        raise UserError(f"There is no metric '{metric}'; use one of {', '.join(METRICS)}.")
    if resamples < 10:
        raise UserError(
            f"resamples is {resamples}; the variance at a site needs at least 10 of them."
        )
    names = list(findings) if findings else list(predictions.names)
    strange = [name for name in names if name not in predictions.names]
    if strange:
        raise UserError(
            f"The predictions have no finding '{strange[0]}'"
            f"{_nearest(strange[0], list(predictions.names))}."
        )
    site = _sites(predictions, site_column)
    columns = [predictions.names.index(name) for name in names]
    limits = (
        np.full(len(names), DEFAULT)
        if thresholds is None
        else align_thresholds(thresholds, names, "The thresholds file")
    )
    present = sorted(set(site) - {""})
    if len(present) < 2:
        raise UserError(
            f"Column '{site_column}' names {len(present)} site; comparing needs two or more."
        )

    def measure(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1 + R, findings) of the metric, and the known and positive records."""
        patient = predictions.patient_id[rows]
        resampler = (
            Resampler.of_records(len(rows), seed)
            if cluster is None
            else Resampler.of_patients(patient, seed)
        )
        labels, scores = predictions.labels[rows][:, columns], predictions.scores[rows][:, columns]
        weights = None if predictions.weight is None else predictions.weight[rows]
        sweep = Sweep(resampler, resamples)
        result = bootstrap(labels, scores, limits, sweep, {}, {}, weights).findings
        return all_metrics(result)[metric], result.n, result.n_positive

    everything, _, _ = measure(np.flatnonzero(site != ""))
    by_site = {name: measure(np.flatnonzero(site == name)) for name in present}
    return {
        "schema": SCHEMA,
        "metric": metric,
        "site_column": site_column,
        "method": method,
        "resamples": resamples,
        "seed": seed,
        "cluster": cluster,
        "without_site": int((site == "").sum()),
        "sites": {
            name: {
                "n_records": int((site == name).sum()),
                "n_patients": len(set(predictions.patient_id[site == name]) - {""}),
            }
            for name in present
        },
        "findings": {
            name: _finding(
                everything[:, j],
                {
                    s: (values[:, j], known[j], positive[j])
                    for s, (values, known, positive) in by_site.items()
                },
                method,
            )
            for j, name in enumerate(names)
        },
    }


def _finding(
    pooled: np.ndarray, sites: dict[str, tuple[np.ndarray, float, float]], method: Tau2
) -> dict[str, Any]:
    described: dict[str, dict[str, Any]] = {}
    effects: dict[str, tuple[float, float]] = {}
    for site, (values, known, positive) in sites.items():
        reason, effect = _logit_effect(values)
        described[site] = interval(values) | {
            "n": int(known),
            "n_positive": int(positive),
            "weight": None,
            "reason": reason,
        }
        if effect is not None:
            effects[site] = effect
    meta = _pool(effects, method)
    if meta is not None:
        for site, weight in zip(effects, meta.pop("weights"), strict=True):
            described[site]["weight"] = weight
    left_out = {}
    for site in effects:
        rest = _pool({s: e for s, e in effects.items() if s != site}, method)
        if rest is not None:
            rest.pop("weights")
        left_out[site] = rest
    whole = interval(pooled)
    return {
        "pooled": whole,
        "sites": described,
        "random_effects": meta,
        "leave_one_out": left_out,
        "figure": _figure(described, meta, whole),
    }


def _logit_effect(values: np.ndarray) -> tuple[str | None, tuple[float, float] | None]:
    """(why there is none, (logit of the sample, its variance over the resamples))."""
    if np.isnan(values[0]):
        return "undefined at this site", None
    if values[0] <= 0 or values[0] >= 1:
        return f"exactly {values[0]:g}, which has no logit", None
    drawn = values[1:]
    # a resample of 0 or 1 has no logit either; dropping many would make the site look too sure
    inside = drawn[(drawn > 0) & (drawn < 1)]
    if len(inside) < max(2, len(drawn) / 2):
        return "undefined, 0 or 1 in more than half of its resamples", None
    variance = float(np.var(np.log(inside / (1 - inside)), ddof=1))
    if variance <= 0:
        return "the same in every resample", None
    return None, (float(np.log(values[0] / (1 - values[0]))), variance)


def _pool(effects: dict[str, tuple[float, float]], method: Tau2) -> dict[str, Any] | None:
    if not effects:
        return None
    values, variances = np.array(list(effects.values())).T
    found = random_effects(values, variances, method)
    back = {
        name: None if found[key] is None else float(1 / (1 + np.exp(-found[key])))
        for name, key in (
            ("value", "effect"),
            ("low", "low"),
            ("high", "high"),
            ("prediction_low", "prediction_low"),
            ("prediction_high", "prediction_high"),
        )
    }
    return back | {key: found[key] for key in ("k", "tau2", "i2", "q", "q_df", "q_p", "weights")}


def _figure(
    sites: dict[str, dict[str, Any]], meta: dict[str, Any] | None, pooled: dict[str, Any]
) -> list[dict[str, Any]]:
    def row(label: str, kind: str, part: dict[str, Any], weight: float | None) -> dict[str, Any]:
        bounds = {key: part[key] for key in ("value", "low", "high")}
        return {"label": label, "kind": kind, **bounds, "weight": weight}

    rows = [
        row(name, "site", part, part["weight"])
        for name, part in sites.items()
        if part["value"] is not None
    ]
    if meta is not None:
        rows.append(row("random effects", "random_effects", meta, None))
        if meta["prediction_low"] is not None:
            span = {
                "value": meta["value"],
                "low": meta["prediction_low"],
                "high": meta["prediction_high"],
            }
            rows.append(row("another site (95 % prediction)", "prediction", span, None))
    if pooled["value"] is not None:
        rows.append(row("all records", "pooled", pooled, None))
    return rows


def _sites(predictions: Predictions, column: str) -> np.ndarray:
    if column not in predictions.extra:
        raise UserError(
            f"The predictions have no column '{column}'{_nearest(column, list(predictions.extra))};"
            " add the site of each ECG, or name its column with --site-column."
        )
    values = np.asarray(predictions.extra[column])
    if values.dtype.kind == "f":  # numbered sites with gaps
        return np.array(["" if np.isnan(v) else f"{v:g}" for v in values], object)
    return np.array(["" if v is None else str(v) for v in values.tolist()], object)


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
