"""Follow-up of every row: days from the recording to the event, or to the last news."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import pyarrow as pa

from deepecg_jax.cells import is_unknown, read_number, yes_or_no
from deepecg_jax.data.tables.dates import read_dates
from deepecg_jax.data.tables.read import some_understood, texts
from deepecg_jax.errors import UserError
from deepecg_jax.signals.people import Repairs

_DAY = 86400.0


def follow_ups(
    table: pa.Table, roles: Mapping[str, str], options: Mapping[str, str]
) -> list[tuple[float, int, Repairs]]:
    """Days, event and repairs of every row. UserError: columns that do not fit together."""
    wrong = check_roles(list(roles))
    if wrong:
        raise UserError(
            f"The follow-up columns do not fit together: {wrong} (--option ROLE=none leaves a "
            "column of that name out)."
        )
    if "time_days" in roles:
        pairs = list(
            zip(texts(table, roles["time_days"]), texts(table, roles["event"]), strict=True)
        )
        stated = [stated_follow_up(*pair) for pair in pairs]
        written = [
            "" if is_unknown(days) or yes_or_no(event) == -1 else f"{days}, {event}"
            for days, event in pairs
        ]
        columns = f"{roles['time_days']}, {roles['event']}"
        repairs = [repairs for *_, repairs in stated]
        some_understood(columns, "follow-up (days, and 1 or 0)", written, repairs)
        return stated
    if "last_seen" not in roles:
        return [(math.nan, -1, ())] * table.num_rows
    dates = []
    for role in ("recorded", "event_date", "last_seen"):
        column = texts(table, roles[role]) if role in roles else [""] * table.num_rows
        dates.append(read_dates(column, roles.get(role, role), options["date_format"]))
    (recorded, s0), (event, s1), (seen, s2) = dates
    found = []
    for i in range(table.num_rows):
        if s0[i] or s1[i] or s2[i]:  # a missing event date would make a case a control
            found.append((math.nan, -1, ("date_not_understood",)))
        else:
            found.append(follow_up(recorded[i], event[i], seen[i]))
    return found


def follow_up(
    recorded: datetime | None, event: datetime | None, last_seen: datetime | None
) -> tuple[float, int, tuple[str, ...]]:
    """Time in days, whether the event happened, and what was noticed.

    The event counts if it happened after the recording and no later than ``last_seen`` (or if
    that is not known); otherwise the patient is censored at ``last_seen``. An event at or before
    the recording is no incident event: the follow-up is unknown and counted, as is one that ends
    before it begins.

    Returns:
        ``(days, 1 or 0, ())``, or ``(NaN, -1, reasons)`` when unknown.
    """
    if recorded is None:
        return math.nan, -1, ()
    if event is not None and event <= recorded:
        return math.nan, -1, ("event_before_recording",)
    if event is not None and (last_seen is None or event <= last_seen):
        return (event - recorded).total_seconds() / _DAY, 1, ()
    if last_seen is None:
        return math.nan, -1, ()
    days = (last_seen - recorded).total_seconds() / _DAY
    if days < 0:
        return math.nan, -1, ("follow_up_ends_before_recording",)
    return days, 0, ()


@lru_cache(maxsize=65536)
def stated_follow_up(days: str, event: str) -> tuple[float, int, tuple[str, ...]]:
    """Time and event as a table states them; unknown and counted if they make no sense.

    Args:
        days: a number of days from the recording, or "".
        event: 1 or 0 (true and false, yes and no), or "".
    """
    happened = yes_or_no(event)
    if is_unknown(days) or happened == -1:
        return math.nan, -1, ()
    time = read_number(days)
    if happened is None or not math.isfinite(time):
        return math.nan, -1, ("follow_up_not_understood",)
    if time < 0:
        return math.nan, -1, ("follow_up_ends_before_recording",)
    return time, happened, ()


def check_roles(given: Sequence[str]) -> str:
    """What is missing among the follow-up columns that were given, "" if they fit together."""
    roles = set(given)
    if ("time_days" in roles) != ("event" in roles):
        return "time_days and event are given together or not at all"
    if roles & {"event_date", "last_seen"} and "recorded" not in roles:
        return "event_date and last_seen need recorded, the date of the recording"
    if "event_date" in roles and "last_seen" not in roles:
        return "event_date needs last_seen, the end of follow-up of those without the event"
    if roles & {"time_days"} and roles & {"event_date", "last_seen"}:
        return "either time_days and event, or event_date and last_seen"
    return ""
