"""Age and sex as files and tables write them -> years and ``female``, ``male``, ``unknown``.

The one parser of both: headers of WFDB, XML of devices, columns of tables and builders all ask it.
It knows one value at a time; what only a whole column can decide (1 and 2, M beside H) is decided
by ``data.tables.people``, which has the column. It never guesses: what has no one meaning is
unknown, and says so by a word that builders count (``sex_not_understood``, ``impossible_age``).
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from deepecg_jax.cells import is_unknown, read_number

OLDEST = 120.0
"""Years; anything beyond is no age (a year of birth, a code)."""

OVER_89 = 90.0
"""What an age is read as that a source only gives as over 89 (US law, 45 CFR 164.514)."""

Repairs = tuple[str, ...]

# By language: English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish and
# Norwegian, Polish, Czech, Finnish, Turkish, Romanian, Russian, Chinese. Letters are
# those that the first eleven use (m/f, m/w, h/f, m/v, m/k); in others they may mean the opposite
# (Hungarian f, Lithuanian v). d (divers, donna), n, x and all numbers mean nothing by themselves.
_FEMALE = (
    *("f", "w", "k", "v", "fem"),
    *("female", "woman", "girl"),
    *("weiblich", "weibl", "frau", "mädchen", "maedchen"),
    *("femme", "féminin", "fille"),
    *("mujer", "femenino", "femenina", "hembra", "niña"),
    *("mulher", "feminino", "feminina", "menina"),
    *("femmina", "femminile", "donna", "bambina"),
    *("vrouw", "vrouwelijk", "meisje"),
    *("kvinna", "kvinnlig", "flicka"),
    *("kvinde", "kvindelig", "kvinne", "kvinnelig", "pige", "jente"),
    *("kobieta", "żeńska", "żeński", "dziewczynka"),
    *("žena", "nainen", "kadın", "kadin", "femeie", "женский", "ж", "女"),
)
_MALE = (
    *("m", "h", "masc"),
    *("male", "man", "boy"),
    *("männlich", "maennlich", "männl", "mann", "herr", "junge", "knabe"),
    *("homme", "masculin", "garçon"),
    *("hombre", "masculino", "varón", "niño"),
    *("homem", "menino"),
    *("maschio", "maschile", "uomo", "bambino"),
    *("mannelijk", "jongen"),
    *("manlig", "pojke"),
    *("mand", "mandlig", "mannlig", "dreng", "gutt"),
    *("mężczyzna", "męska", "męski", "chłopiec", "chlopiec"),
    *("muž", "mies", "erkek", "bărbat", "мужской", "м", "男"),
)


def sex_word(text: str) -> str:
    """A word as the keys of ``SEXES`` are written: small, without accents and full stop."""
    word = text.strip().lower().removesuffix(".")
    if word.isascii():
        return word
    apart = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


SEXES: Mapping[str, str] = {
    **dict.fromkeys(map(sex_word, _FEMALE), "female"),
    **dict.fromkeys(map(sex_word, _MALE), "male"),
}
"""Word, as ``sex_word`` writes it -> ``female`` or ``male``."""

_DICOM_AGE = re.compile(r"(\d{3})([DWMY])", re.ASCII | re.IGNORECASE)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_YEARS = "y|yr|yrs|years?|j|jahre?|ans?|anni|anos?|años?|jaar|år|lat|rok|lata"
_MONTHS = "mo|mos|mon|mths?|months?|monate?n?|mois|mesi|mes(?:es)?|maand(?:en)?|månad(?:er)?"
_WEEKS = "wk|wks|weeks?|wochen?|semaines?|semanas?|settiman[ae]|weken|veckor"
_DAYS = "days?|tage?n?|jours?|d[ií]as?|giorn[oi]|dag(?:en|ar|e)?"
_AGE_IN_WORDS = re.compile(
    rf"(?P<number>\d+(?:[.,]\d+)?)[\s-]*"
    rf"(?:(?P<Y>{_YEARS})|(?P<M>{_MONTHS})|(?P<W>{_WEEKS})|(?P<D>{_DAYS}))\.?(?:[\s-]*(?:old|alt))?",
    re.ASCII,
)
_OVER = re.compile(
    r"(?:(?:>|over|über|älter als|older than|plus de)\s*(?:89|90)|(?:≥|>=)\s*(?:89|90)|(?:89|90)\s*"
    r"(?:\+|(?:or|and|und|oder) (?:older|over|above|more|älter|mehr)|et plus))"
    rf"\s*(?:{_YEARS})?\.?"
)
_INFINITE = re.compile(r"[-+]?inf(?:inity)?", re.IGNORECASE)


def parse_sex(text: str) -> tuple[str, Repairs]:
    """Sex from a word or letter, and what was not understood.

    Words of seventeen languages (``mujer``, ``kvinna``, ``weiblich``, ``homme``) in any case, with
    or without accents. ``m`` is male and ``f``, ``w``, ``k``, ``v`` are female, ``h`` is male; that
    ``M`` beside ``H`` is a woman only a column can show. Numbers say nothing by themselves: 1 is
    male by ISO/IEC 5218 and female in half of all ad-hoc codes.

    Returns:
        ``female``, ``male`` or ``unknown``; and ``()``, or ``("sex_not_understood",)`` if a word
        stands there that is neither a sex nor a word for unknown (a third sex, a code).
    """
    word = sex_word(text)
    if word in SEXES:
        return SEXES[word], ()
    return "unknown", () if is_unknown(text) else ("sex_not_understood",)


@lru_cache(maxsize=4096)
def parse_age(text: str, over_89: float | None = None, unit: str = "") -> tuple[float, Repairs]:
    """Years from an age as text, and what was repaired.

    Read are numbers of years (a comma may stand before the decimals), ages of the DICOM standard
    (PS3.5, value representation AS: ``067Y``, ``006M``, ``010W``, ``010D``) and ages with a word
    for years, months, weeks or days (``45 Jahre``, ``6 months``, ``3 meses``). ``45M`` and ``45 w``
    are not: a month, a man, a week or a woman.

    Over 89: ``>89``, ``89+``, ``over 90``, ``90 or older`` and the source's own code are the
    de-identified ages of data sets, and become 90. A number such as 300 or 1950 is no age anywhere
    unless it is that code.

    Args:
        text: "" and words for unknown are unknown (NaN).
        over_89: the source's code for an age over 89 (PTB-XL: 300), read as 90.
        unit: of a bare number, as the file states it: ``years``, ``MONTHS``; "" for years.

    Returns:
        Age in years, NaN unknown; and ``("age_over_89",)`` or ``("impossible_age",)`` if the
        number was the code, or lies outside 0 to 120 and was dropped, or
        ``("age_not_understood",)`` for other words.
    """
    value = text.strip().lower()
    if is_unknown(value):
        return math.nan, ()
    if _OVER.fullmatch(value):
        return OVER_89, ("age_over_89",)
    age = math.inf if _INFINITE.fullmatch(value) else read_number(value)
    if over_89 is not None and age == over_89:
        return OVER_89, ("age_over_89",)
    if math.isfinite(age) and unit:
        return parse_age(f"{value} {unit.strip()}") if age >= 0 else (math.nan, ("impossible_age",))
    if dicom := _DICOM_AGE.fullmatch(value):
        age = int(dicom[1]) / _PER_YEAR[dicom[2].upper()]
    elif words := _AGE_IN_WORDS.fullmatch(value):
        said = next(name for name in _PER_YEAR if words[name])
        age = read_number(words["number"]) / _PER_YEAR[said]
    if math.isnan(age):
        return math.nan, ("age_not_understood",)
    if not 0 <= age <= OLDEST:
        return math.nan, ("impossible_age",)
    return age, ()


_AGE_KEYS, _SEX_KEYS = ("age",), ("sex", "gender")
_KEY = re.compile(r"<?(?P<name>[^<>(]*?)>?\s*(?:\((?P<unit>[^)]*)\))?")


def age_and_sex_of_comments(
    comments: Mapping[str, str], over_89: float | None = None
) -> tuple[float, str, Repairs]:
    """Age, sex and repairs from a header's ``key: value`` comments.

    Keys are ``age``, ``sex`` or ``gender`` in small letters, also as LUDB (``<age>``) and others
    (``age (years)``, ``age (months)``) write them; a sex that is understood goes before one that is
    not. ``over_89`` is the source's code for an age over 89.
    """
    ages: list[tuple[float, Repairs]] = []
    sexes: list[tuple[str, Repairs]] = []
    for key, value in comments.items():
        match = _KEY.fullmatch(key)
        name, unit = (match["name"], match["unit"] or "") if match else ("", "")
        if name in _AGE_KEYS:
            ages.append(parse_age(value, over_89, unit))
        elif name in _SEX_KEYS:
            sexes.append(parse_sex(value))
    age, strange_age = min(ages, key=lambda own: math.isnan(own[0]), default=(math.nan, ()))
    sex, strange_sex = min(sexes, key=lambda own: own[0] == "unknown", default=("unknown", ()))
    return age, sex, (*strange_age, *strange_sex)
