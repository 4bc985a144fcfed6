"""Cumulative/dynamic AUROC: who has the event by a day against who does not, despite censoring."""

import numpy as np

from deepecg_jax.evaluation.survival.follow_up import COMPETING, EVENT
from deepecg_jax.evaluation.survival.incidence import CensoringWeights
from deepecg_jax.evaluation.threshold_metrics import ratio


class DynamicAUROC:
    """AUROC at any day; the scores are sorted once.

    Cases have had the event by the day; controls have not: they were observed until that day, or
    had a competing event before. Each is weighted by the inverse probability of not having been
    censored before (Uno et al., JASA 102, 2007; with competing events Blanche et al., Statistics in
    Medicine 32, 2013, their second definition of controls). Equal scores count one half. Who is
    censored on the day itself is a control.
    """

    def __init__(self, time: np.ndarray, event: np.ndarray, scores: np.ndarray):
        """time: (M,) days; event: (M,) 0, 1, 2; scores: (M,) higher is riskier."""
        self._order = np.argsort(scores, kind="stable")
        ranked = scores[self._order]
        self._below = np.searchsorted(ranked, ranked, "left")
        self._through = np.searchsorted(ranked, ranked, "right")
        self._time, self._event = time[self._order], event[self._order]

    def __call__(self, day: float, counts: np.ndarray, weights: CensoringWeights) -> np.ndarray:
        """(R,) the AUROC on a day, NaN without a case or a control; counts are (M, R)."""
        ended = self._time <= day
        case = ended & (self._event == EVENT)
        lost = ended & (self._event == COMPETING)
        observed = (self._time > day) | ((self._time == day) & (self._event != EVENT) & ~lost)
        drawn, own = counts[self._order], weights.record[self._order]
        cases = (drawn * own)[case]
        controls = np.where(observed[:, None], drawn * weights.at(day), 0.0)
        if lost.any():
            controls = np.where(lost[:, None], drawn * own, controls)
        total = np.zeros((len(drawn) + 1, drawn.shape[1]))
        np.cumsum(controls, axis=0, out=total[1:])
        lower = 0.5 * (total[self._below[case]] + total[self._through[case]])
        return ratio((cases * lower).sum(axis=0), cases.sum(axis=0) * total[-1])
