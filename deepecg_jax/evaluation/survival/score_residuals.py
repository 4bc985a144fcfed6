"""What each record adds to the score of Cox's partial likelihood, for errors by patient.

The sum over a patient's records is the influence of that patient, whatever the dependence between
the records (Lin and Wei, JASA 84, 1989; several records of a patient: Lee, Wei and Amato, in
Survival Analysis: State of the Art, 1992).
"""

from typing import Literal

import numpy as np

Ties = Literal["efron", "breslow"]


def score_residuals(
    time: np.ndarray,
    happened: np.ndarray,
    design: np.ndarray,
    beta: np.ndarray,
    ties: Ties = "efron",
) -> np.ndarray:
    """Score residuals (Therneau and Grambsch, Modeling Survival Data, 2000, sections 4.6 and 3.3).

    A record's residual is its covariates less the mean of those at risk on the day of its event,
    less the same difference over all days under observation, weighted by the hazard it had. On a
    day with d events, Efron's k-th event (k from 0) finds the d at risk with weight 1 - k / d.

    Args:
        time: (M,) days.
        happened: (M,) bool, observation ended by the event.
        design: (M, K) covariates.
        beta: (K,) log hazard ratios.
        ties: how events on one day are ordered.

    Returns:
        (M, K), whose sum over records is the gradient of the log likelihood.
    """
    days, day_of = np.unique(time, return_inverse=True)
    risk = np.exp((design - design.mean(axis=0)) @ beta)
    weighted = design * risk[:, None]

    def by_day(values: np.ndarray, of: np.ndarray | slice = slice(None)) -> np.ndarray:
        columns = np.atleast_2d(values.T)
        return np.stack([np.bincount(day_of[of], c[of], len(days)) for c in columns], axis=1)

    at_risk = np.cumsum(by_day(risk)[::-1], axis=0)[::-1, 0]
    at_risk_sum = np.cumsum(by_day(weighted)[::-1], axis=0)[::-1]
    dying, dying_sum = by_day(risk, happened)[:, 0], by_day(weighted, happened)
    events = np.bincount(day_of[happened], minlength=len(days))

    # one row an event: its day, and which of that day's events it is
    day = np.repeat(np.arange(len(days)), events)
    order = np.arange(len(day)) - np.repeat(np.cumsum(events) - events, events)
    gone = order / events[day] if ties == "efron" else np.zeros(len(day))
    left = at_risk[day] - gone * dying[day]
    mean = (at_risk_sum[day] - gone[:, None] * dying_sum[day]) / left[:, None]

    def total(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(day, c, len(days)) for c in np.atleast_2d(values.T)], axis=1)

    hazard, hazard_mean = total(1 / left), total(mean / left[:, None])
    # those who have the event that day meet the hazard of its k-th event with weight 1 - k / d
    own, own_mean = total((1 - gone) / left), total(mean * ((1 - gone) / left)[:, None])
    before = np.cumsum(hazard, axis=0) - hazard, np.cumsum(hazard_mean, axis=0) - hazard_mean
    that_day = happened[:, None]
    met = before[0][day_of] + np.where(that_day, own[day_of], hazard[day_of])
    met_mean = before[1][day_of] + np.where(that_day, own_mean[day_of], hazard_mean[day_of])
    on_day = total(mean) / np.maximum(events, 1)[:, None]
    observed = np.where(that_day, design - on_day[day_of], 0.0)
    return observed - risk[:, None] * (design * met - met_mean)


def by_patient(residuals: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(patients, K): residuals summed over the records of each patient."""
    _, index = np.unique(patient, return_inverse=True)
    return np.stack([np.bincount(index, column) for column in residuals.T], axis=1)
