"""Age and sex as sources write them -> years and ``female``, ``male``, ``unknown``, by rules."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from deepecg_jax.errors import UserError

OLDEST = 120.0
"""Years; anything beyond is no age."""

UNKNOWN_WORDS = frozenset(
    (
        *("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "unk", "u", "x", "-"),
        *("?", ".", "n.a.", "#n/a", "#nv", "#n/v", "missing", "unbekannt", "k.a.", "inconnu"),
        *("okänd", "desconocido"),
    )
)
"""Ways of writing that a value is not known, in lower case; ``#NV`` is German Excel's."""

# English, German, French, Dutch, Swedish, Danish and Norwegian, Spanish, Portuguese, Italian
_SEXES = {
    **dict.fromkeys(
        ("f", "female", "w", "woman", "weiblich", "frau", "femme", "féminin"), "female"
    ),
    **dict.fromkeys(("feminin", "v", "vrouw", "vrouwelijk", "k", "kvinna", "kvinne"), "female"),
    **dict.fromkeys(("kvinde", "mujer", "femenino", "mulher", "feminino", "femmina"), "female"),
    **dict.fromkeys(("m", "male", "man", "maennlich", "männlich", "mann", "homme", "h"), "male"),
    **dict.fromkeys(("masculin", "mannelijk", "hombre", "masculino", "homem", "maschio"), "male"),
    **dict.fromkeys(("mand",), "male"),
}
_ISO_5218 = {"0": "unknown", "1": "male", "2": "female", "9": "unknown"}
_NOT_A_WORD = frozenset(("0", "1", "2", "9", "true", "false", "t", "yes", "no", "y", "n"))
_DICOM_AGE = re.compile(r"^(\d{3})([DWMY])$")
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_AGE_IN_WORDS = re.compile(
    r"^(\d+(?:[.,]\d+)?)\s*(?:(y|yr|yrs|years?|j|jahre?|ans?|år|años?)|(mon|mths?|months?|monate?|mois)"
    r"|(wk|wks|weeks?|wochen?)|(days?|tage?))\.?(?: old| alt)?$"
)
_OVER_89 = re.compile(
    r"^(?:(?:>|over|über|älter als|older than)\s*(?:89|90)|(?:≥|>=)\s*90|(?:89|90)\s*\+)$"
)


def parse_sex(text: str) -> str:
    """``female``, ``male`` or ``unknown`` from a word or letter in any case (no numbers)."""
    return _SEXES.get(text.strip().lower(), "unknown")


@dataclass(frozen=True)
class SexCoding:
    """What the values of a column mean; ``note`` says which rule was taken, "" for words."""

    meaning: Mapping[str, str]
    note: str = ""

    def read(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The sex, and ``("sex_not_understood",)`` for a value without a meaning."""
        value = _value(text)
        if value in self.meaning:
            return self.meaning[value], ()
        if value in UNKNOWN_WORDS:
            return "unknown", ()
        return "unknown", ("sex_not_understood",)


def sex_coding(values: Iterable[str], where: str, stated: str = "") -> SexCoding:
    """How a column codes sex, from the values that occur in it.

    Words and letters of nine languages are read as they are; 1 and 2 (with 0 and 9 for unknown)
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
        return SexCoding({**_SEXES, **_stated_codes(stated)}, f"Sex in {where}: {stated}.")
    found = {_value(text) for text in values} - UNKNOWN_WORDS
    if found <= set(_ISO_5218) and "2" in found:
        return SexCoding(_ISO_5218, f"Sex in {where} by ISO/IEC 5218: 1 male, 2 female.")
    unclear = sorted(found & _NOT_A_WORD) or (["h", "m"] if {"h", "m"} <= found else [])
    if unclear and not ("f" in found and not found & _NOT_A_WORD):
        example = ",".join(f"{value}=..." for value in unclear)
        raise UserError(
            f"Column {where} codes sex as {' and '.join(unclear)}, which does not say who is "
            f"female; say it by --option sex_codes={example} with male, female or unknown."
        )
    return SexCoding(_SEXES)


def _value(text: str) -> str:
    value = text.strip().lower()
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


@lru_cache(maxsize=4096)
def parse_age(text: str, over_89: float | None = None) -> tuple[float, tuple[str, ...]]:
    """Years from a number as text, and what was repaired.

    A comma may stand for the decimal point; ``067Y``, ``006M``, ``010W`` and ``010D`` are ages of
    the DICOM standard (PS3.5, value representation AS); ``45Y``, ``45 years``, ``45 Jahre`` and
    ``6 months`` are read, too; ``>89``, ``over 90`` and ``90+`` are de-identified ages.

    Args:
        text: "" and words for unknown are unknown (NaN).
        over_89: the source's code for a de-identified age over 89 (PTB-XL: 300), read as 90.

    Returns:
        Age in years, NaN unknown; and ``("age_over_89",)`` or ``("impossible_age",)`` if the
        number was the code, or lies outside 0 to 120 and was dropped, or
        ``("age_not_understood",)`` for other words.
    """
    value = text.strip()
    if value.lower() in UNKNOWN_WORDS:
        return math.nan, ()
    if _OVER_89.match(value.lower()):
        return 90.0, ("age_over_89",)
    if dicom := _DICOM_AGE.match(value.upper()):
        value = str(int(dicom[1]) / _PER_YEAR[dicom[2]])
    elif words := _AGE_IN_WORDS.match(value.lower()):
        unit = next(u for u, said in zip("YMWD", words.groups()[1:], strict=True) if said)
        value = str(float(words[1].replace(",", ".")) / _PER_YEAR[unit])
    try:
        age = float(value.replace(",", ".") if value.count(",") == 1 else value)
    except ValueError:
        return math.nan, ("age_not_understood",)
    if math.isnan(age):
        return math.nan, ()
    if over_89 is not None and age == over_89:
        return 90.0, ("age_over_89",)
    if not 0 <= age <= OLDEST:
        return math.nan, ("impossible_age",)
    return age, ()
