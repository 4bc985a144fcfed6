"""Cumulative/dynamic AUROC: who has the event by a day against who does not, despite censoring."""

import numpy as np

from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.running_sums import RunningSums
from deepecg_jax.evaluation.survival.follow_up import COMPETING, EVENT
from deepecg_jax.evaluation.survival.incidence import CensoringWeights


class DynamicAUROC:
    """AUROC at any day; the scores of a day are sorted once.

    Cases have had the event by the day; controls have not: they were observed until that day, or
    had a competing event before. Each is weighted by the inverse probability of not having been
    censored before (Uno et al., JASA 102, 2007; with competing events Blanche et al., Statistics in
    Medicine 32, 2013, their second definition of controls). Equal scores count one half. Who is
    censored on the day itself is a control.
    """

    def __init__(self, time: np.ndarray, event: np.ndarray, scores: np.ndarray):
        """time: (M,) days; event: (M,) 0, 1, 2; scores: (M,) higher is riskier."""
        self._time, self._event, self._scores = time, event, scores
        self._days: dict[float, _Day] = {}

    def __call__(self, day: float, counts: np.ndarray, weights: CensoringWeights) -> np.ndarray:
        """(R,) the AUROC on a day, NaN without a case or a control; counts are (M, R)."""
        if day not in self._days:
            self._days[day] = _Day(day, self._time, self._event, self._scores)
        return self._days[day](counts, weights)


class _Day:
    """The cases and controls of one day, by score."""

    def __init__(self, day: float, time: np.ndarray, event: np.ndarray, scores: np.ndarray):
        ended = time <= day
        lost = ended & (event == COMPETING)
        observed = (time > day) | ((time == day) & (event != EVENT) & ~lost)
        self._day = day
        self._cases = np.flatnonzero(ended & (event == EVENT))
        self._lost = np.flatnonzero(lost)
        self._observed_sums = _below(np.flatnonzero(observed), scores, self._cases)
        self._lost_sums = _below(self._lost, scores, self._cases)

    def __call__(self, counts: np.ndarray, weights: CensoringWeights) -> np.ndarray:
        cases = counts[self._cases] * weights.of(self._cases)
        below, through, controls = (
            own * weights.at(self._day) for own in self._observed_sums(counts)
        )
        if len(self._lost):
            weighted = np.zeros_like(counts)
            weighted[self._lost] = counts[self._lost] * weights.of(self._lost)
            more = self._lost_sums(weighted)
            below, through, controls = below + more[0], through + more[1], controls + more[2]
        lower = 0.5 * (below + through)
        return ratio((cases * lower).sum(axis=0), cases.sum(axis=0) * controls[0])


def _below(controls: np.ndarray, scores: np.ndarray, cases: np.ndarray) -> RunningSums:
    """Sums over controls that score below each case, that score no higher, and over all."""
    order = controls[np.argsort(scores[controls], kind="stable")]
    ranked = scores[order]
    places = (
        np.searchsorted(ranked, scores[cases], "left"),
        np.searchsorted(ranked, scores[cases], "right"),
        np.array([len(order)]),
    )
    return RunningSums(order, places, len(scores))
