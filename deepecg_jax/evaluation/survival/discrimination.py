"""How well scores rank the risk, in every resample."""

from collections.abc import Mapping

import numpy as np

from deepecg_jax.evaluation.lanes import count_blocks
from deepecg_jax.evaluation.resampling import Resampler
from deepecg_jax.evaluation.survival.concordance import Concordance
from deepecg_jax.evaluation.survival.dynamic_auroc import DynamicAUROC
from deepecg_jax.evaluation.survival.follow_up import COMPETING, DAYS_A_YEAR, EVENT
from deepecg_jax.evaluation.survival.incidence import FollowUpDays, censoring_weights
from deepecg_jax.evaluation.survival.running import RunningSums
from deepecg_jax.evaluation.threshold_metrics import ratio

LANES = 64


def years_within(horizon_years: float) -> list[float]:
    """1, 2, ... up to the horizon, and the horizon itself."""
    whole = [float(year) for year in range(1, int(np.floor(horizon_years)) + 1)]
    return whole if whole and whole[-1] == horizon_years else [*whole, float(horizon_years)]


def year_name(year: float) -> str:
    """``5`` or ``2.5``, as keys of JSON."""
    return f"{year:g}"


def discriminate(
    time: np.ndarray,
    event: np.ndarray,
    scores: Mapping[str, np.ndarray],
    horizon_years: float,
    resampler: Resampler | None,
    resamples: int,
) -> dict[str, dict[str, np.ndarray]]:
    """Every measure of every score on the same resamples, so that differences are paired.

    Args:
        time, event: (M,) follow-up.
        scores: name -> (M,) without NaN.
        horizon_years: the last year looked at.
        resampler: of these M records.
        resamples: how many.

    Returns:
        score -> measure -> (1 + R,), the sample first: ``harrell_c``, ``uno_c`` (events before the
        horizon), ``auroc_1`` ... (cumulative/dynamic, each year), and ``event_auroc``: plainly
        events by the horizon against all others, however long those were observed, which is how the
        published model of atrial fibrillation was measured.
    """
    horizon = horizon_years * DAYS_A_YEAR
    years = years_within(horizon_years)
    ranked = {name: (Concordance(time, event, s), DynamicAUROC(time, event, s), _Plain(time, event,
              s, horizon)) for name, s in scores.items()}  # fmt: skip
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in scores}

    def add(name: str, measure: str, values: np.ndarray) -> None:
        found[name].setdefault(measure, []).append(values)

    days = FollowUpDays(time, event)
    for counts in count_blocks(len(time), resampler, resamples, LANES):
        weights = censoring_weights(days, counts)
        for name, (concordance, dynamic, plain) in ranked.items():
            harrell, uno = concordance.both(counts, weights.of(concordance.cases), time, horizon)
            add(name, "harrell_c", harrell)
            add(name, "uno_c", uno)
            for year in years:
                values = dynamic(year * DAYS_A_YEAR, counts, weights)
                add(name, f"auroc_{year_name(year)}", values)
            add(name, "event_auroc", plain(counts))
    return {
        name: {measure: np.concatenate(parts) for measure, parts in measures.items()}
        for name, measures in found.items()
    }


class _Plain:
    """AUROC of events by the horizon against everybody else."""

    def __init__(self, time: np.ndarray, event: np.ndarray, scores: np.ndarray, horizon: float):
        case = (time <= horizon) & (event == EVENT)
        self._cases = np.flatnonzero(case)
        order = np.flatnonzero(~case)
        order = order[np.argsort(scores[order], kind="stable")]
        ranked, own = scores[order], scores[self._cases]
        places = (
            np.searchsorted(ranked, own, "left"),
            np.searchsorted(ranked, own, "right"),
            np.array([len(order)]),
        )
        self._controls = RunningSums(order, places, len(scores))

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        cases = counts[self._cases]
        below, through, controls = self._controls(counts)
        lower = 0.5 * (below + through)
        return ratio((cases * lower).sum(axis=0), cases.sum(axis=0) * controls[0])


def summary(event: np.ndarray) -> dict[str, int]:
    """How follow-up ended: ``n``, ``n_events``, ``n_competing``."""
    return {
        "n": len(event),
        "n_events": int((event == EVENT).sum()),
        "n_competing": int((event == COMPETING).sum()),
    }
