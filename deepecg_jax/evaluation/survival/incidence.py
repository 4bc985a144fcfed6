"""Kaplan-Meier, cumulative incidence and censoring weights, for many resamples at once.

Time runs over the distinct days of the sample (U of them). At equal days events come before
censorings: who is censored on a day was under observation through its events.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse

from deepecg_jax.evaluation.survival.follow_up import CENSORED, COMPETING, EVENT


@dataclass(frozen=True)
class LifeTable:
    """Weighted counts by day, each (U, R): lanes are resamples.

    Attributes:
        days: (U,) ascending.
        at_risk: under observation just before the day.
        events, competing, censored: what ended observation on the day.
    """

    days: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    competing: np.ndarray
    censored: np.ndarray

    @cached_property
    def survival(self) -> np.ndarray:
        """Kaplan and Meier (JASA 53, 1958): the share free of any event after each day, (U, R)."""
        return np.cumprod(1 - _hazard(self.events + self.competing, self.at_risk), axis=0)

    @cached_property
    def incidence(self) -> np.ndarray:
        """Aalen and Johansen (Scand. J. Statist. 5, 1978): the share with the event by each day.

        A competing event ends the chance of the event; without any, this is 1 - Kaplan-Meier.
        """
        free_before = before(self.survival)
        return np.cumsum(free_before * _hazard(self.events, self.at_risk), axis=0)

    @cached_property
    def uncensored(self) -> np.ndarray:
        """The share still under observation after each day if nothing else ended it, (U, R)."""
        staying = self.at_risk - self.events - self.competing
        return np.cumprod(1 - _hazard(self.censored, staying), axis=0)

    def at(self, values: np.ndarray, day: float, start: float) -> np.ndarray:
        """The step function's value on a day, (R,), `start` before the first day.

        NaN in a resample nobody of which is under observation up to that day, unless its curve has
        ended (everybody has had an event).
        """
        index = int(np.searchsorted(self.days, day, side="right")) - 1
        value = values[index] if index >= 0 else np.full(values.shape[1], start)
        reached = int(np.searchsorted(self.days, day, side="left"))
        seen = (
            self.at_risk[reached] > 0 if reached < len(self.days) else np.zeros(value.shape, bool)
        )
        ended = (self.at_risk[0] > 0) & (self.survival[-1] == 0)
        return np.where(seen | ended, value, np.nan)


class FollowUpDays:
    """Follow-up sorted by day once, counted for every block of resamples."""

    def __init__(
        self,
        time: np.ndarray,
        event: np.ndarray,
        n_records: int | None = None,
        rows: np.ndarray | None = None,
    ):
        """Prepare M records.

        Args:
            time: (M,) days.
            event: (M,) 0, 1 or 2.
            n_records: N, if the counts are those of a larger table.
            rows: (M,) their rows in that table.
        """
        self.days, self.day_of = np.unique(time, return_inverse=True)
        size = 3 * len(self.days)
        rows = np.arange(len(time)) if rows is None else rows
        code = event.astype(np.int64) * len(self.days) + self.day_of
        order = np.argsort(code, kind="stable")
        ends = np.searchsorted(code[order], np.arange(size + 1))
        self._counted = scipy.sparse.csr_matrix(
            (np.ones(len(time)), rows[order].astype(np.int32), ends),
            shape=(size, len(time) if n_records is None else n_records),
        )

    def table(self, counts: np.ndarray) -> LifeTable:
        """Count by day; counts are (N, R) float64, how often each record is in each resample."""
        parts = np.asarray(self._counted @ counts).reshape(3, len(self.days), counts.shape[1])
        leaving = parts.sum(axis=0)
        at_risk = np.cumsum(leaving[::-1], axis=0)[::-1]
        return LifeTable(self.days, at_risk, parts[EVENT], parts[COMPETING], parts[CENSORED])


def life_table(time: np.ndarray, event: np.ndarray, counts: np.ndarray) -> LifeTable:
    """Count by day.

    Args:
        time: (M,) days.
        event: (M,) 0, 1 or 2.
        counts: (M, R) how often each record is in each resample.
    """
    return FollowUpDays(time, event).table(counts)


def before(curve: np.ndarray) -> np.ndarray:
    """The step function just before each day: 1 before the first."""
    return np.concatenate([np.ones_like(curve[:1]), curve[:-1]])


def _hazard(leaving: np.ndarray, at_risk: np.ndarray) -> np.ndarray:
    return np.where(at_risk > 0, leaving / np.maximum(at_risk, 1e-300), 0.0)


@dataclass(frozen=True)
class CensoringWeights:
    """Inverse probability of censoring weights, from the sample's or resample's own follow-up.

    Attributes:
        by_day: (U, R) 1 / P(uncensored just before each day).
        day_of: (M,) the day of each record.
        table: the life table that they come from.
    """

    by_day: np.ndarray
    day_of: np.ndarray
    table: LifeTable

    def of(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), R) 1 / P(uncensored just before the day of each of these records)."""
        return self.by_day[self.day_of[rows]]

    def at(self, day: float) -> np.ndarray:
        """(R,) 1 / P(uncensored just before `day`)."""
        index = int(np.searchsorted(self.table.days, day, side="left"))
        curve = self.table.uncensored
        value = curve[index - 1] if index else np.ones(curve.shape[1])
        return _inverse(value)


def censoring_weights(days: FollowUpDays, counts: np.ndarray) -> CensoringWeights:
    """Weights that make those seen to the end stand for those who were lost.

    The censoring distribution is Kaplan-Meier's, with the probability just before a record's day:
    who has an event on a day was only required to be under observation until that day.
    """
    table = days.table(counts)
    return CensoringWeights(_inverse(before(table.uncensored)), days.day_of, table)


def _inverse(probability: np.ndarray) -> np.ndarray:
    return np.where(probability > 0, 1 / np.maximum(probability, 1e-300), 0.0)
