"""Dates as hospitals write them -> ``datetime``; a column that can be read in two ways is refused.

Read without being told: ISO 8601 (``2020-03-04``, with or without time), ``20200304`` (DICOM and
HL7, with or without time), ``2020/03/04``, ``04.03.2020`` (day first: the dotted form of German,
Nordic and Slavic countries) and ``04-Mar-2020``. ``03/04/2020`` and ``03-04-2020`` are month first
in the United States and day first elsewhere; the whole column decides, if any of its dates can
only be the one or the other. Day numbers of spreadsheets and years of two digits are read when a
form is given (``excel``, ``%d.%m.%y``).
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from deepecg_jax.cells import is_unknown
from deepecg_jax.errors import UserError

_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ].*)?$")
_COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})?(?:\.\d+)?)?$")
_YEAR_FIRST = re.compile(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?:[T ]+(.*))?$")
_DOTTED = re.compile(r"^(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?:[T ,]+(.*))?$")
_UNCLEAR = re.compile(r"^(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?:[T ,]+(.*))?$")
_MONTH_NAME = re.compile(r"^(\d{1,2})[- /]([A-Za-z]{3})[- /](\d{4})(?:[T ,]+(.*))?$")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?: ?([AP])\.?M\.?)?$", re.IGNORECASE)
_DAY_NUMBER = re.compile(r"^\d{4,5}(?:[.,]\d+)?$")
EXCEL = "excel"
_EXCEL_BEGAN, _EXCEL_DAYS = datetime(1899, 12, 30), (366, 73050)  # 1900-12-31 to 2099-12-31
_CENTURY = timedelta(days=36525)


def read_dates(
    texts: Sequence[str], where: str, form: str = ""
) -> tuple[list[datetime | None], list[bool]]:
    """Dates of a column, and where a text was no date.

    Args:
        texts: the column; "" and words for unknown are None.
        where: the column's name, for the sentence.
        form: a ``strptime`` pattern such as ``%d/%m/%Y``, which goes before all other rules; or
            ``excel``: besides the forms above, numbers are days since 1899-12-30.

    Returns:
        (N,) dates without time zone, None unknown; and (N,) whether a text was not understood.

    Raises:
        UserError: the column can be read in two ways, contradicts itself, or holds no date at all.
    """
    values = [text.strip() for text in texts]
    known = [not is_unknown(value) for value in values]
    day_first = _day_first(values, where) if form in ("", EXCEL) else None
    dates = [
        _read(value, form, day_first) if there else None
        for value, there in zip(values, known, strict=True)
    ]
    strange = [there and date is None for there, date in zip(known, dates, strict=True)]
    if any(strange) and sum(strange) == sum(known):
        example = values[strange.index(True)]
        told = f"the form {form!r}" if form else "any known form"
        advice = "give the form by --option date_format=%d/%m/%Y or (two-digit years) %d.%m.%y"
        if _DAY_NUMBER.match(example):
            advice = "if these are day numbers of Excel, give --option date_format=excel"
        raise UserError(f"Column {where} holds no date in {told} (such as {example!r}); {advice}.")
    return dates, strange


def birth_in_its_century(birth: datetime, recorded: datetime, form: str) -> datetime:
    """A birth of a two-digit year (``%y`` in ``form``) that would follow the recording: 100 years
    earlier; any other birth as it is."""
    return birth - _CENTURY if "%y" in form and birth > recorded else birth


def years_between(birth: datetime, recorded: datetime) -> float:
    """Age in years of 365.25 days."""
    return (recorded - birth).total_seconds() / 86400 / 365.25


def _day_first(values: Sequence[str], where: str) -> bool | None:
    """Whether 03/04/2020 is the third of April in this column; None if it has no such date."""
    parts = [match for value in values if (match := _UNCLEAR.match(value))]
    if not parts:
        return None
    by_day = next((match[0] for match in parts if int(match[1]) > 12), None)
    by_month = next((match[0] for match in parts if int(match[2]) > 12), None)
    advice = "say which by --option date_format=%d/%m/%Y or %m/%d/%Y"
    if by_day and by_month:
        raise UserError(
            f"Column {where} holds dates with the day first ({by_day}) and with the month first "
            f"({by_month}); write them in one form, or {advice}."
        )
    if not by_day and not by_month:
        raise UserError(
            f"Column {where} holds dates such as {parts[0][0]!r}, which may have the day or the "
            f"month first; {advice}."
        )
    return by_day is not None


def _read(value: str, form: str, day_first: bool | None) -> datetime | None:
    try:
        if form == EXCEL and _DAY_NUMBER.match(value):
            days = float(value.replace(",", "."))
            inside = _EXCEL_DAYS[0] <= days <= _EXCEL_DAYS[1]
            return _EXCEL_BEGAN + timedelta(days=days) if inside else None
        if form and form != EXCEL:
            return datetime.strptime(value, form).replace(tzinfo=None)
        if _ISO.match(value):
            return datetime.fromisoformat(value).replace(tzinfo=None)
        if match := _COMPACT.match(value):
            year, month, day, hour, minute, second = map(int, match.groups(default="0"))
            return datetime(year, month, day, hour, minute, second)
        if match := _YEAR_FIRST.match(value):
            return _at_time(int(match[1]), int(match[2]), int(match[3]), match[4])
        if match := _DOTTED.match(value):
            return _at_time(int(match[3]), int(match[2]), int(match[1]), match[4])
        if match := _MONTH_NAME.match(value):
            month = _MONTHS.get(match[2].lower(), 0)
            return _at_time(int(match[3]), month, int(match[1]), match[4])
        if match := _UNCLEAR.match(value):
            day, month = (1, 2) if day_first else (2, 1)
            return _at_time(int(match[3]), int(match[month]), int(match[day]), match[4])
    except ValueError:  # the 30th of February
        return None
    return None


def _at_time(year: int, month: int, day: int, time: str | None) -> datetime:
    if not time:
        return datetime(year, month, day)
    match = _TIME.match(time.strip())
    if match is None:
        raise ValueError(time)
    hour, minute, second = (int(part or 0) for part in match.groups()[:3])
    if half := match[4]:
        if not 1 <= hour <= 12:
            raise ValueError(time)
        hour = hour % 12 + (12 if half in "pP" else 0)
    return datetime(year, month, day, hour, minute, second)
