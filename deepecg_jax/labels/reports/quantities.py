"""Measured values: "HR 42", "PR interval 240 ms", "axis -45", by the limits of ``common.yaml``."""

import re
from collections.abc import Iterator

from deepecg_jax.labels.reports.schema import Quantity

# small words and signs ("is about", ":", "="), a number, perhaps the end of a range; not "by": a
# change of a rate is no rate
_VALUE = re.compile(
    r"(?:[\s:=~(]|\b(?:is|of|was|at|about|approx\.?|ca\.?|ist|von|beträgt|är|est|de|à)\b){0,8}?"
    r"(?<![^\W\d_])((?<=[\s:=(])[-−–]?\d+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
    r"(?:\s*[-–]\s*(\d+(?:[.,]\d+)?))?"
    r"(?![\d:])\s*(ms|msec|s|sec|sek|/min|bpm|min-1|°|grad|degr[eé]e?s|mm|slag/min)?(?![^\W\d_])",
    re.IGNORECASE,
)
_STATES = ("present", "uncertain", "absent")


def read_quantity(quantity: Quantity, text: str, at: int) -> Iterator[tuple[str, str, int]]:
    """What the value after a quantity's name says: (finding, state, end of the value).

    A range speaks only if both its ends say the same; an implausible value says nothing.

    Args:
        quantity: plausible values and limits.
        text: the report.
        at: the position after the quantity's name.
    """
    match = _VALUE.match(text, at)
    if match is None:
        return
    values = [_number(match[1])] + ([_number(match[2])] if match[2] else [])
    if quantity.seconds_below is not None:
        values = [v * 1000 if abs(v) < quantity.seconds_below else v for v in values]
    if not all(quantity.plausible.holds(value) for value in values):
        return
    for limit in quantity.limits:
        for state in _STATES:
            span = getattr(limit, state)
            if span is not None and all(span.holds(value) for value in values):
                yield limit.finding, state, match.end()
                break


def _number(text: str) -> float:
    return float(text.replace(",", ".").replace("−", "-").replace("–", "-"))
