"""Follow-up of each ECG: the days until an event or the end of observation."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import SCORE, Predictions

CENSORED, EVENT, COMPETING = 0, 1, 2
UNKNOWN = -1
DAYS_A_YEAR = 365
"""Five years are 1825 days, as in the labels of the published model of atrial fibrillation."""
BlankingRule = Literal["exclude", "censor"]


@dataclass(frozen=True)
class FollowUp:
    """Follow-up of M ECGs.

    Attributes:
        rows: (M,) their rows in the predictions table.
        time: (M,) float64 days from the ECG, 0 or more.
        event: (M,) int8: 0 censored, 1 the event, 2 a competing event (death).
        without: rows whose follow-up is unknown.
        blanked: rows that the blanking period left out (``exclude``) or censored (``censor``).
    """

    rows: np.ndarray
    time: np.ndarray
    event: np.ndarray
    without: int
    blanked: int

    @property
    def competing(self) -> bool:
        """Whether there are competing events."""
        return bool((self.event == COMPETING).any())


def read_follow_up(
    predictions: Predictions, blanking_days: float = 0, rule: BlankingRule = "exclude"
) -> FollowUp:
    """Follow-up from the columns ``time_days`` and ``event``, checked.

    A blanking period keeps an event that was already under way at the ECG from counting as
    predicted. ``exclude`` leaves out every ECG whose follow-up ends before day `blanking_days`, by
    an event or otherwise (a landmark: who is left was observed and free of the event until then);
    ``censor`` keeps them, censors events before that day at their day, and so removes them from the
    events but not from those at risk before it. Days are counted from the ECG in both.

    Raises:
        UserError: a column is missing, a time is negative or infinite, an event is not 0, 1 or 2,
            one of time and event is known without the other, or no event is left.
    """
    for name in ("time_days", "event"):
        if name not in predictions.extra:
            raise UserError(
                f"The predictions have no column '{name}'{_nearest(name, predictions.extra)}; "
                "survival needs time_days (days of follow-up) and event (0 censored, 1 event, 2 "
                "competing death)."
            )
    time = _floats(predictions.extra["time_days"], "time_days")
    event = _floats(predictions.extra["event"], "event")
    event[event == UNKNOWN] = np.nan
    _refuse(np.isinf(time), time, "time_days", "is infinite; give the days until the last contact")
    _refuse(
        time < 0,
        time,
        "time_days",
        "is negative; days are counted from the ECG, so drop ECGs after the event",
    )
    strange = ~np.isnan(event) & ~np.isin(event, (CENSORED, EVENT, COMPETING))
    _refuse(strange, event, "event", "is none of 0 (censored), 1 (event), 2 (competing event)")
    half = np.isnan(time) != np.isnan(event)
    if half.any():
        row = int(half.argmax())
        known = "event" if np.isnan(time[row]) else "time_days"
        raise UserError(
            f"Row {row} has {known} but not the other of time_days and event ({int(half.sum())} "
            "such rows); give both, or neither where the follow-up is unknown."
        )
    if not blanking_days >= 0:
        raise UserError(f"The blanking period is {blanking_days} days; it must be 0 or more.")
    rows = np.flatnonzero(~np.isnan(time))
    if len(rows) == 0:
        raise UserError("time_days and event are empty in every row; there is no follow-up.")
    kept_time, kept_event = time[rows], event[rows].astype(np.int8)
    early = kept_time < blanking_days
    if rule == "censor":
        early &= kept_event == EVENT
        kept_event = np.where(early, CENSORED, kept_event).astype(np.int8)
        kept = np.ones(len(rows), bool)
    elif rule == "exclude":
        kept = ~early
    else:
        raise UserError(f"There is no blanking rule '{rule}'; use exclude or censor.")
    if not (kept_event[kept] == EVENT).any():
        after = f" from day {blanking_days:g} on" if blanking_days else ""
        raise UserError(
            f"No ECG has an event (1){after}: all {int(kept.sum()):,} are censored or end by a "
            "competing event, so there is no risk to measure."
        )
    return FollowUp(
        rows[kept], kept_time[kept], kept_event[kept], len(time) - len(rows), int(early.sum())
    )


def score_column(predictions: Predictions, name: str) -> np.ndarray:
    """A score by name: a finding, ``score:<finding>``, or any other numeric column.

    Returns:
        (N,) float64, NaN where missing.

    Raises:
        UserError: no such column (naming the nearest one), or it is not numeric.
    """
    finding = name.removeprefix(SCORE)
    if finding in predictions.names:
        return predictions.scores[:, predictions.names.index(finding)].astype(np.float64)
    if name in predictions.extra:
        values = _floats(predictions.extra[name], name)
        _refuse(np.isinf(values), values, name, "is infinite; leave it empty where it is unknown")
        return values
    if name == "age":
        return predictions.age.astype(np.float64)
    known = [*predictions.names, *predictions.extra, "age"]
    raise UserError(f"The predictions have no score '{name}'{_nearest(name, known)}.")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name.casefold(), [n.casefold() for n in names], 1, 0.5)
    if close:
        found = next(n for n in names if n.casefold() == close[0])
        return f" (did you mean '{found}'?)"
    return f" (there are {', '.join(names[:8])})" if names else ""


def _floats(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array([np.nan if value is None else value for value in array])
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise UserError(f"Column '{name}' holds {array.dtype}, not numbers; convert it.")
    return array.astype(np.float64)


def _refuse(bad: np.ndarray, values: np.ndarray, name: str, why: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise UserError(
            f"Column '{name}' has {int(bad.sum())} wrong values: {values[row]:g} in row {row} "
            f"{why}."
        )
