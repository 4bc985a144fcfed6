"""Measured values: "HR 42", "PR interval 240 ms", "axis -45", by the limits of ``common.yaml``."""

import math
import re
from collections.abc import Iterator

from deepecg_jax.labelling.rules.rule_files import Quantity

# small words and signs ("is about", ":", "="), a number, perhaps the end of a range; not "by": a
# change of a rate is no rate
_VALUE = re.compile(
    r"(?P<words>(?:[\s:=~()]|,(?=\s)|\b(?:is|of|was|at|about|with|around|here|measured|measures"
    r"|approx|ca|ist|von|mit|bei|auf|um|hier|gemessen|betr(?:ä|ae)gt|[äa]e?r|med|p[åa]|kring"
    r"|h[äa]e?r|uppm[äa]tt|est|de|[àa]|environ|mesur[ée]e?|ici|nach|enligt|selon|bazett|fridericia)"
    r"\b\.?){0,8}?)"
    r"(?<![^\W\d_])(?P<value>(?<=[\s:=(])[-−–+]?\d*[.,]?\d+|\d+(?:[.,]\d+)?)"
    r"(?:\s*[-–]\s*(?P<end>\d+(?:[.,]\d+)?))?(?![\d:])"
    r"\s*(?:ms|msec|s|sec|sek|°|grad|degr[eé]e?s|mm|(?P<millivolts>mv)|(?P<rate>[bs]pm|min-1"
    r"|(?:slag|schläge|batt?ements|batt?|beats|x|c)?\.?\s*(?:/|per |pro )\s?mi?n))?"
    r"(?![^\W\d_])",
    re.IGNORECASE,
)
# the first value of "QT/QTc 480/440" and of "P-R-T axes 50 -45 30"
_FIRST = re.compile(r"[\s:=~(]*[-−–]?\d+(?:[.,]\d+)?(?:\s*ms)?(?:\s*/|(?=\s))", re.IGNORECASE)
_STATES = ("present", "uncertain", "absent")


def read_quantity(quantity: Quantity, text: str, at: int) -> Iterator[tuple[str, str, int]]:
    """What the value after a quantity's name says: (finding, state, end of the value).

    A range speaks only if both its ends say the same; an implausible value, or one in the unit of
    something else, says nothing.

    Args:
        quantity: plausible values and limits.
        text: the report.
        at: the position after the quantity's name.
    """
    if quantity.position == "2":
        first = _FIRST.match(text, at)
        if first is None:
            return
        at = first.end()
    match = _VALUE.match(text, at)
    if match is None or ("," in match["words"] and not quantity.after):
        return
    if match["rate"] is None and quantity.unit == "/min":
        return
    if match["rate"] is not None and quantity.seconds_below is not None:
        return
    values = [_number(match["value"])] + ([_number(match["end"])] if match["end"] else [])
    if quantity.seconds_below is not None:
        values = [v * 1000 if abs(v) < quantity.seconds_below else v for v in values]
    if match["millivolts"] or max(values) < (quantity.millivolts_below or -math.inf):
        values = [10 * v for v in values]
    if not all(quantity.plausible.holds(value) for value in values):
        return
    for limit in quantity.limits:
        for state in _STATES:
            span = getattr(limit, state)
            if span is not None and all(span.holds(value) for value in values):
                yield limit.finding, state, match.start() + len(match.group().rstrip())
                break


def _number(text: str) -> float:
    return float(text.replace(",", ".").replace("−", "-").replace("–", "-"))
