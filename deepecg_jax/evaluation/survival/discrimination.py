"""How well scores rank the risk, in every resample."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deepecg_jax.evaluation.resampling.chunks import count_blocks
from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.running_sums import RunningSums
from deepecg_jax.evaluation.survival.concordance import Concordance
from deepecg_jax.evaluation.survival.dynamic_auroc import DynamicAUROC
from deepecg_jax.evaluation.survival.follow_up import COMPETING, DAYS_A_YEAR, EVENT
from deepecg_jax.evaluation.survival.incidence import (
    CensoringWeights,
    FollowUpDays,
    censoring_weights,
)
from deepecg_jax.evaluation.survival.results import Endings

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
    tasks: list[tuple[str, Callable[[np.ndarray, CensoringWeights], dict[str, np.ndarray]]]] = []
    for name, score in scores.items():
        tasks.append((name, _concordance(time, event, score, horizon)))
        dynamic = DynamicAUROC(time, event, score)
        tasks += [(name, _auroc(dynamic, year)) for year in years]
        tasks.append((name, _plain(time, event, score, horizon)))
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in scores}
    days = FollowUpDays(time, event)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for counts in count_blocks(len(time), resampler, resamples, LANES):
            weights = censoring_weights(days, counts)
            done = [pool.submit(task, counts, weights) for _, task in tasks]
            for (name, _), part in zip(tasks, done, strict=True):
                for measure, values in part.result().items():
                    found[name].setdefault(measure, []).append(values)
    return {
        name: {measure: np.concatenate(parts) for measure, parts in measures.items()}
        for name, measures in found.items()
    }


def _concordance(
    time: np.ndarray, event: np.ndarray, score: np.ndarray, horizon: float
) -> Callable[[np.ndarray, CensoringWeights], dict[str, np.ndarray]]:
    concordance = Concordance(time, event, score)

    def task(counts: np.ndarray, weights: CensoringWeights) -> dict[str, np.ndarray]:
        own = weights.of(concordance.cases)
        harrell, uno = concordance.both(counts, own, time, horizon)
        return {"harrell_c": harrell, "uno_c": uno}

    return task


def _auroc(
    dynamic: DynamicAUROC, year: float
) -> Callable[[np.ndarray, CensoringWeights], dict[str, np.ndarray]]:
    def task(counts: np.ndarray, weights: CensoringWeights) -> dict[str, np.ndarray]:
        return {f"auroc_{year_name(year)}": dynamic(year * DAYS_A_YEAR, counts, weights)}

    return task


def _plain(
    time: np.ndarray, event: np.ndarray, score: np.ndarray, horizon: float
) -> Callable[[np.ndarray, CensoringWeights], dict[str, np.ndarray]]:
    plain = _Plain(time, event, score, horizon)
    return lambda counts, _: {"event_auroc": plain(counts)}


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


def summary(event: np.ndarray) -> Endings:
    """How the follow-up of M ECGs ended; event is (M,)."""
    return {
        "n": len(event),
        "n_events": int((event == EVENT).sum()),
        "n_competing": int((event == COMPETING).sum()),
    }
