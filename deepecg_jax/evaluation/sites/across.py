"""Does a metric hold from site to site?"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
from scipy.special import expit

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
from deepecg_jax.evaluation.metrics.table import metric as metric_named
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.draws import Sweep
from deepecg_jax.evaluation.resampling.intervals import Estimate, interval
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.sites.meta_analysis import Tau2, random_effects
from deepecg_jax.evaluation.sites.results import (
    FindingSites,
    ForestRow,
    RandomEffects,
    RowKind,
    SiteEstimate,
    SitesResult,
)
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1
SITE = "site"


def across_sites(
    predictions: Predictions,
    metric: str = "auroc",
    site_column: str = SITE,
    findings: Sequence[str] | None = None,
    thresholds: Thresholds | None = None,
    method: Tau2 = "reml",
    resampling: Resampling | None = None,
) -> SitesResult:
    """A metric pooled, at each site, and meta-analysed over the sites.

    Sites are pooled on the logit scale, where the metric of a site is nearer to normal (a metric of
    0 or 1 has no logit: that site is left out and named), with the variance over that site's own
    resamples of patients; intervals are turned back into the metric.

    Args:
        metric: one of those of ``metrics.json``, see `metrics.table`.
        site_column: a text column of the predictions; an empty site is left out and counted.
        findings: all if not given.
        thresholds: for the metrics that need one; 0.5 if not given.
        method: of tau^2, see `meta_analysis.random_effects`.
        resampling: of the bootstrap, within each site; strata and BCa are not offered here.

    Returns:
        what ``sites.json`` holds.

    Raises:
        UserError: no such column, metric or finding, fewer than two sites or ten resamples.
    """
    wanted, resampling = metric_named(metric), resampling or Resampling()
    resampling.refuse("The analysis over sites", "stratify", "interval")
    if resampling.resamples < 10:
        raise UserError(
            f"resamples is {resampling.resamples}; the variance at a site needs at least 10 of "
            "them."
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
    limits = (thresholds or Thresholds()).of(names)
    present = sorted(set(site) - {""})
    if len(present) < 2:
        raise UserError(
            f"Column '{site_column}' names {len(present)} site; comparing needs two or more."
        )

    def measure(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1 + R, findings) of the metric, and the known and positive records."""
        labels, scores = predictions.labels[rows][:, columns], predictions.scores[rows][:, columns]
        weights = None if predictions.weight is None else predictions.weight[rows]
        sweep = Sweep(resampling.resampler(predictions.patient_id[rows]), resampling.resamples)
        result = bootstrap(
            labels, scores, limits, sweep, {}, {}, weights, resampling.devices
        ).findings
        return wanted.of(result), result.n, result.n_positive

    everything, _, _ = measure(np.flatnonzero(site != ""))
    by_site = {name: measure(np.flatnonzero(site == name)) for name in present}
    return {
        "schema": SCHEMA,
        "metric": metric,
        "site_column": site_column,
        "method": method,
        "resamples": resampling.resamples,
        "seed": resampling.seed,
        "cluster": resampling.cluster,
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
    pooled: np.ndarray, sites: Mapping[str, tuple[np.ndarray, float, float]], method: Tau2
) -> FindingSites:
    described: dict[str, SiteEstimate] = {}
    effects: dict[str, tuple[float, float]] = {}
    for site, (values, known, positive) in sites.items():
        reason, effect = _logit_effect(values)
        described[site] = {
            **interval(values),
            "n": int(known),
            "n_positive": int(positive),
            "weight": None,
            "reason": reason,
        }
        if effect is not None:
            effects[site] = effect
    meta, weights = _pool(effects, method)
    for site, weight in zip(effects, weights, strict=True):
        described[site]["weight"] = weight
    whole = interval(pooled)
    return {
        "pooled": whole,
        "sites": described,
        "random_effects": meta,
        "leave_one_out": {
            site: _pool({s: e for s, e in effects.items() if s != site}, method)[0]
            for site in effects
        },
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


def _pool(
    effects: Mapping[str, tuple[float, float]], method: Tau2
) -> tuple[RandomEffects | None, list[float]]:
    """The mean over sites, and their weights; ``None`` without a site."""
    if not effects:
        return None, []
    values, variances = np.array(list(effects.values())).T
    found = random_effects(values, variances, method)

    def back(logit: float | None) -> float | None:
        return None if logit is None else float(expit(logit))

    pooled: RandomEffects = {
        "value": float(expit(found["effect"])),
        "low": float(expit(found["low"])),
        "high": float(expit(found["high"])),
        "prediction_low": back(found["prediction_low"]),
        "prediction_high": back(found["prediction_high"]),
        "k": found["k"],
        "tau2": found["tau2"],
        "i2": found["i2"],
        "q": found["q"],
        "q_df": found["q_df"],
        "q_p": found["q_p"],
    }
    return pooled, found["weights"]


def _figure(
    sites: Mapping[str, SiteEstimate], meta: RandomEffects | None, pooled: Estimate
) -> list[ForestRow]:
    def row(
        label: str, kind: RowKind, value: float | None, low: float | None, high: float | None
    ) -> ForestRow:
        return {
            "label": label,
            "kind": kind,
            "value": value,
            "low": low,
            "high": high,
            "weight": sites[label]["weight"] if kind == "site" else None,
        }

    rows = [
        row(name, "site", part["value"], part["low"], part["high"])
        for name, part in sites.items()
        if part["value"] is not None
    ]
    if meta is not None:
        mean = meta["value"]
        rows.append(row("random effects", "random_effects", mean, meta["low"], meta["high"]))
        if meta["prediction_low"] is not None:
            ends = meta["prediction_low"], meta["prediction_high"]
            rows.append(row("another site (95 % prediction)", "prediction", mean, *ends))
    if pooled["value"] is not None:
        ends = pooled["low"], pooled["high"]
        rows.append(row("all records", "pooled", pooled["value"], *ends))
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
