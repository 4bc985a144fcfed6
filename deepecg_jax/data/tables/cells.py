"""Numbers as tables hold them, with a point or a comma before the decimals."""

import math
import re

_POINT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA = re.compile(r"[-+]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d{3})", re.ASCII)
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:\.\d{3})+,\d+)", re.ASCII)


def read_number(text: str) -> float:
    """``364.5``, ``364,5``, ``1,234.5`` or ``1.234,5``; NaN for anything else.

    ``1,234`` is NaN, too: it is a thousand in one country and one in another.
    """
    value = text.strip()
    if _POINT.fullmatch(value):
        return float(value)
    if _COMMA.fullmatch(value):
        return float(value.replace(",", "."))
    if _GROUPED.fullmatch(value):
        group, point = (",", ".") if value.rindex(".") > value.rindex(",") else (".", ",")
        return float(value.replace(group, "").replace(point, "."))
    return math.nan
