"""Age and sex as sources write them -> years and ``female``, ``male``, ``unknown``, by rules."""

import math

OLDEST = 120.0
"""Years; anything beyond is no age."""

_SEXES = {
    **dict.fromkeys(("f", "female", "w", "woman", "weiblich", "femme"), "female"),
    **dict.fromkeys(("m", "male", "man", "maennlich", "männlich", "homme"), "male"),
}


def parse_sex(text: str) -> str:
    """``female``, ``male`` or ``unknown`` from a word or letter in any case (no numbers)."""
    return _SEXES.get(text.strip().lower(), "unknown")


def parse_age(text: str, over_89: float | None = None) -> tuple[float, tuple[str, ...]]:
    """Years from a number as text, and what was repaired.

    Args:
        text: "" and anything that is no number is unknown (NaN).
        over_89: the source's code for a de-identified age over 89 (PTB-XL: 300), read as 90.

    Returns:
        Age in years, NaN unknown; and ``("age_over_89",)`` or ``("impossible_age",)`` if the
        number was the code, or lies outside 0 to 120 and was dropped.
    """
    try:
        age = float(text)
    except ValueError:
        return math.nan, ()
    if math.isnan(age):
        return math.nan, ()
    if over_89 is not None and age == over_89:
        return 90.0, ("age_over_89",)
    if not 0 <= age <= OLDEST:
        return math.nan, ("impossible_age",)
    return age, ()
