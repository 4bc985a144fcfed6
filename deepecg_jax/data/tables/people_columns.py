"""Age, sex and follow-up of every row of a metadata table."""

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from deepecg_jax.data.tables.dates import birth_in_its_century, read_dates, years_between
from deepecg_jax.data.tables.follow_up import check_roles, follow_up, stated_follow_up
from deepecg_jax.data.tables.labels import yes_or_no
from deepecg_jax.data.tables.people import UNKNOWN_WORDS, parse_age, sex_coding
from deepecg_jax.data.tables.read import texts
from deepecg_jax.errors import UserError

Repairs = tuple[str, ...]


def ages(
    table: pa.Table, roles: Mapping[str, str], options: Mapping[str, str]
) -> list[tuple[float, Repairs]]:
    """Age in years (NaN unknown) and repairs, from the age column, else from two dates.

    Raises:
        UserError: ``birth_date`` without ``recorded``, dates that can be read in two ways, or a
            code for an age over 89 that is no number, or no age in the whole column.
    """
    over_89 = _number(options["age_over_89"])
    written = texts(table, roles["age"]) if "age" in roles else [""] * table.num_rows
    found = [parse_age(text, over_89) for text in written]
    if "age" in roles:
        _some_understood(roles["age"], "age", written, [repairs for _, repairs in found])
    if "birth_date" not in roles:
        return found
    if "recorded" not in roles:
        raise UserError(
            "Option birth_date needs recorded, the column with the date of the recording (--option "
            "birth_date=none leaves births out)."
        )
    form = options["date_format"]
    births, strange_births = read_dates(
        texts(table, roles["birth_date"]), roles["birth_date"], form
    )
    recorded, strange = read_dates(texts(table, roles["recorded"]), roles["recorded"], form)
    for i, (birth, date) in enumerate(zip(births, recorded, strict=True)):
        if not math.isnan(found[i][0]):
            continue
        repairs = found[i][1]
        if strange_births[i] or strange[i]:
            repairs = (*repairs, "date_not_understood")
        if birth is None or date is None:
            found[i] = (math.nan, repairs)
            continue
        birth = birth_in_its_century(birth, date, form)
        age, more = parse_age(f"{years_between(birth, date):.4f}")
        found[i] = (age, (*repairs, *more))
    return found


def sexes(
    table: pa.Table, roles: Mapping[str, str], options: Mapping[str, str], notes: list[str]
) -> list[tuple[str, Repairs]]:
    """Sex and repairs of every row; the rule for codes goes to ``notes``. UserError: unclear."""
    if "sex" not in roles:
        return [("unknown", ())] * table.num_rows
    found = texts(table, roles["sex"])
    coding = sex_coding(set(found), repr(roles["sex"]), options["sex_codes"])
    if coding.note:
        notes.append(coding.note)
    known = {text: coding.read(text) for text in set(found)}
    read = [known[text] for text in found]
    _some_understood(roles["sex"], "sex", found, [repairs for _, repairs in read])
    return read


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
            "" if days.lower() in UNKNOWN_WORDS or yes_or_no(event) == -1 else f"{days}, {event}"
            for days, event in pairs
        ]
        columns = f"{roles['time_days']}, {roles['event']}"
        repairs = [repairs for *_, repairs in stated]
        _some_understood(columns, "follow-up (days, and 1 or 0)", written, repairs)
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


def _some_understood(
    column: str, what: str, written: Sequence[str], repairs: Sequence[Repairs]
) -> None:
    """UserError if nothing that stands in a column was understood: it is another column, then."""
    strange = [any(word.endswith("not_understood") for word in each) for each in repairs]
    stated = sum(text.lower() not in UNKNOWN_WORDS for text in written)
    if any(strange) and sum(strange) == stated:
        raise UserError(
            f"Nothing in column {column} can be read as {what} (such as "
            f"{written[strange.index(True)]!r}); name another column, or none, by --option."
        )


def _number(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"Option age_over_89 is {text!r}, but must be a number.") from error
