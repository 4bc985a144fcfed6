"""A fixed threshold at a horizon: who is flagged, and what becomes of them."""

import numpy as np

from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.survival.incidence import FollowUpDays, LifeTable

AT_HORIZON = (
    "high_risk_share",
    "incidence",
    "incidence_high",
    "incidence_low",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
)


class ThresholdAtHorizon:
    """Sensitivity, specificity and predictive values by a day, from the groups' incidences.

    With the cumulative incidence F in those at or above the threshold and in those below (Aalen and
    Johansen's, so censoring and competing events are allowed for) and the share p at or above it:
    PPV = F_high, NPV = 1 - F_low, F = p F_high + (1 - p) F_low, sensitivity = p F_high / F,
    specificity = (1 - p)(1 - F_low) / (1 - F) (Heagerty, Lumley and Pepe, Biometrics 56, 2000,
    their equations for the simple estimator, with F from the groups, so that no share leaves 0..1).
    """

    def __init__(self, time: np.ndarray, event: np.ndarray, high: np.ndarray | None, day: float):
        """Prepare.

        Args:
            time, event: (M,) follow-up.
            high: (M,) bool, at or above the threshold; ``None`` for nobody.
            day: the horizon.
        """
        high = np.zeros(len(time), bool) if high is None else high
        self._high, self._day = high, day
        self._groups = [
            FollowUpDays(time[own], event[own], len(time), np.flatnonzero(own))
            if own.any()
            else None
            for own in (high, ~high)
        ]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """`AT_HORIZON`, each (R,), of counts (M, R).

        NaN where a group is empty or not observed until the day.
        """
        share = ratio(counts[self._high].sum(axis=0), counts.sum(axis=0))
        in_high, in_low = (
            np.full(counts.shape[1], np.nan)
            if group is None
            else incidence_at(group.table(counts), self._day)
            for group in self._groups
        )
        flagged, missed = share * in_high, (1 - share) * in_low
        incidence = flagged + missed
        return {
            "high_risk_share": share,
            "incidence": incidence,
            "incidence_high": in_high,
            "incidence_low": in_low,
            "sensitivity": ratio(flagged, incidence),
            "specificity": ratio((1 - share) * (1 - in_low), 1 - incidence),
            "ppv": in_high,
            "npv": 1 - in_low,
        }


def incidence_at(table: LifeTable, day: float) -> np.ndarray:
    """(R,) cumulative incidence by a day, NaN where nobody was observed that long."""
    return table.at(table.incidence, day, 0.0)
