"""Age and sex as files write them."""

import math


def parse_years(text: str) -> float:
    """Age in years; NaN for what is no number, infinite or negative."""
    try:
        age = float(text)
    except ValueError:
        return math.nan
    return age if math.isfinite(age) and age >= 0 else math.nan


def parse_sex(text: str) -> str:
    """``female`` or ``male`` by the first letter, else ``unknown``."""
    return {"f": "female", "m": "male"}.get(text.strip().lower()[:1], "unknown")
