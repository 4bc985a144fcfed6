"""Concordance between a score and the order of events, for many resamples at once.

A pair is comparable if the one with the earlier day had the event: the other one's day is later, or
the same day by something else than the event. It is concordant if the earlier one scores higher;
equal scores count one half. Competing events count as censorings (cause-specific concordance).

Pairs are counted by halving the order of days again and again: at each level, those of an earlier
half look up, in the sorted scores of the later half beside it, how many score lower. That is
log2(days) sorted sweeps, whatever the number of resamples.
"""

import numpy as np

from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.running_sums import RunningSums
from deepecg_jax.evaluation.survival.follow_up import EVENT


class Concordance:
    """The comparable pairs of one score; made once, summed for every block of resamples.

    Attributes:
        cases: (K,) rows of the records that had the event.
    """

    def __init__(self, time: np.ndarray, event: np.ndarray, scores: np.ndarray):
        """time: (M,) days; event: (M,) 0, 1, 2; scores: (M,) higher is riskier."""
        happened = event == EVENT
        _, day_of = np.unique(time, return_inverse=True)
        # latest first; on one day, those without the event outlast those with it
        place = 2 * (day_of.max() - day_of) + happened
        _, place = np.unique(place, return_inverse=True)
        _, rank = np.unique(scores, return_inverse=True)
        self.cases = np.flatnonzero(happened)
        self._levels = []
        stride = len(scores) + 1
        for bit in range(int(place.max()).bit_length()):
            pair = place >> (bit + 1)
            earlier = (place >> bit) % 2 == 1
            key = pair.astype(np.int64) * stride
            later = np.flatnonzero(~earlier)
            later = later[np.argsort((key + rank)[later], kind="stable")]
            ranked = (key + rank)[later]
            own = np.flatnonzero(earlier[self.cases])
            at = self.cases[own]
            # where the case's pair begins, its lower scores end, its ties end
            places = (
                np.searchsorted(ranked, key[at], "left"),
                np.searchsorted(ranked, (key + rank)[at], "left"),
                np.searchsorted(ranked, (key + rank)[at], "right"),
            )
            self._levels.append((own, RunningSums(later, places, len(scores))))
        order = np.argsort(place, kind="stable")
        outlasting = np.searchsorted(place[order], place[self.cases], "left")
        self._outlasting = RunningSums(order, (outlasting,), len(scores))

    def pairs(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Concordant and comparable partners of each case, each (cases, R); counts are (M, R)."""
        concordant = np.zeros((len(self.cases), counts.shape[1]))
        for cases, running in self._levels:
            start, below, through = running(counts)
            concordant[cases] += 0.5 * (below + through - 2 * start)
        return concordant, self._outlasting(counts)[0]

    def harrell(self, counts: np.ndarray) -> np.ndarray:
        """(R,) the share of comparable pairs that is concordant (Harrell et al., JAMA 247, 1982).

        NaN without a comparable pair.
        """
        concordant, comparable = self.pairs(counts)
        return _share(counts[self.cases], concordant, comparable)

    def both(
        self, counts: np.ndarray, weights: np.ndarray, time: np.ndarray, horizon: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Harrell's C of all pairs, and Uno's C of events before the horizon, each (R,).

        Uno's weighs a pair by the squared inverse probability that the earlier one was not
        censored before, so that the result does not depend on who was lost when (Uno et al.,
        Statistics in Medicine 30, 2011).

        Args:
            counts: (M, R).
            weights: (K, R) inverse probability of censoring weights of `cases`.
            time: (M,) days.
            horizon: days; events from then on are left out of Uno's C.
        """
        concordant, comparable = self.pairs(counts)
        drawn = counts[self.cases]
        early = (time[self.cases] < horizon)[:, None]
        squared = np.where(early, drawn * weights**2, 0.0)
        return _share(drawn, concordant, comparable), _share(squared, concordant, comparable)


def _share(weights: np.ndarray, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return ratio((weights * part).sum(axis=0), (weights * whole).sum(axis=0))
