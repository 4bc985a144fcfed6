"""Age and sex of every row of a metadata table.

What one value means is ``signals.people``'s; here is what takes a column: what its codes mean, ages
from two dates, and whether anything in it was understood at all.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from deepecg_jax.cells import is_unknown
from deepecg_jax.data.tables.dates import birth_in_its_century, read_dates, years_between
from deepecg_jax.data.tables.read import some_understood, texts
from deepecg_jax.errors import UserError
from deepecg_jax.signals.people import SEXES, Repairs, parse_age, parse_sex, sex_word

_ISO_5218 = {"0": "unknown", "1": "male", "2": "female", "9": "unknown"}
_NOT_A_WORD = frozenset(("0", "1", "2", "9", "true", "false", "t", "yes", "no", "y", "n"))


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
        some_understood(roles["age"], "age", written, [repairs for _, repairs in found])
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
    some_understood(roles["sex"], "sex", found, [repairs for _, repairs in read])
    return read


@dataclass(frozen=True)
class SexCoding:
    """What the codes of a column mean; ``note`` says which rule was taken, "" for words.

    Whatever is no code is read as everywhere (``signals.people.parse_sex``).
    """

    meaning: Mapping[str, str]
    note: str = ""

    def read(self, text: str) -> tuple[str, Repairs]:
        """The sex, and ``("sex_not_understood",)`` for a value without a meaning."""
        value = _value(text)
        return (self.meaning[value], ()) if value in self.meaning else parse_sex(text)


def sex_coding(values: Iterable[str], where: str, stated: str = "") -> SexCoding:
    """How a column codes sex, from the values that occur in it.

    Words and letters are read as ``signals.people`` reads them; 1 and 2 (with 0 and 9 for unknown)
    by ISO/IEC 5218 (1 male, 2 female). 0 and 1 or true and false say nothing by themselves, and
    neither does M beside H, where M may be mujer: these need ``stated``.

    Args:
        values: what stands in the column.
        where: the column's name, for the sentence.
        stated: such as ``0=male,1=female``; it goes before all other rules.

    Raises:
        UserError: the values have no one meaning, or ``stated`` cannot be read.
    """
    if stated:
        return SexCoding(_stated_codes(stated), f"Sex in {where}: {stated}.")
    found = {_value(text) for text in values if not is_unknown(text)}
    if found <= set(_ISO_5218) and "2" in found:
        return SexCoding(_ISO_5218, f"Sex in {where} by ISO/IEC 5218: 1 male, 2 female.")
    unclear = sorted(found & _NOT_A_WORD)
    if {"h", "m"} <= found and not any(SEXES.get(word) == "female" for word in found):
        unclear = unclear or ["h", "m"]
    if unclear:
        example = ",".join(f"{value}=..." for value in unclear)
        raise UserError(
            f"Column {where} codes sex as {' and '.join(unclear)}, which does not say who is "
            f"female; say it by --option sex_codes={example} with male, female or unknown."
        )
    return SexCoding({})


def _value(text: str) -> str:
    value = sex_word(text)
    return value[:-2] if re.fullmatch(r"\d[.,]0", value) else value


def _stated_codes(stated: str) -> dict[str, str]:
    meaning = {}
    for part in stated.split(","):
        code, equals, sex = part.replace(":", "=").partition("=")
        if not equals or sex.strip() not in ("female", "male", "unknown") or not code.strip():
            raise UserError(
                f"Option sex_codes is {stated!r}, but must be codes with male, female or unknown "
                "such as 0=male,1=female."
            )
        meaning[_value(code)] = sex.strip()
    return meaning


def _number(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"Option age_over_89 is {text!r}, but must be a number.") from error
