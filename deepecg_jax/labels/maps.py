"""Rules from a source's codes to findings: 1 present, 0 absent, -1 unknown.

A map is a CSV table with one line a rule: a finding, a code (several joined by ``&`` must all be
present; ``*`` is the default), the value it gives, and the source of the line. Of all rules of a
finding that match an ECG the strongest wins: present, then absent, then unknown, then the default.
A finding that no line makes present cannot be expressed by the source and has no place in its map.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
_STRENGTH = {PRESENT: 2, ABSENT: 1, UNKNOWN: 0}


@dataclass(frozen=True)
class FindingRules:
    """All rules of one finding: ``rules`` are (codes that must all be present, value)."""

    finding: str
    rules: tuple[tuple[frozenset[str], int], ...]
    default: int

    def label(self, codes: Collection[str], possible: Collection[str] = ()) -> int:
        """Value of the finding for an ECG with these codes: 1, 0 or -1.

        possible: further codes that the ECG may have or not; -1 where that makes a difference.
        """
        present = frozenset(codes)
        values = [value for needed, value in self.rules if needed <= present]
        found = max(values, key=_STRENGTH.__getitem__) if values else self.default
        if possible:
            both = present.union(possible)
            more = [value for needed, value in self.rules if needed <= both and value not in values]
            # the strongest rule decides, so that what any set of them does one of them does alone
            if any(max([*values, v], key=_STRENGTH.__getitem__) != found for v in more):
                return UNKNOWN
        return found


def read_map(rows: Iterable[Mapping[str, str]], code_column: str) -> tuple[FindingRules, ...]:
    """Group the lines of a map by finding, in the order in which the findings first appear.

    Raises:
        ValueError: a value is none of 1, 0, -1, or a finding has no default line or two of them.
    """
    rules: dict[str, list[tuple[frozenset[str], int]]] = {}
    defaults: dict[str, int] = {}
    for row in rows:
        finding, codes, value = row["finding"], row[code_column], int(row["value"])
        if value not in _STRENGTH:
            raise ValueError(f"label map: {finding}, {codes}: value {value} is none of 1, 0, -1")
        rules.setdefault(finding, [])
        if codes == "*":
            if finding in defaults:
                raise ValueError(f"label map: {finding} has two default lines")
            defaults[finding] = value
        else:
            rules[finding].append((frozenset(codes.split("&")), value))
    for finding in rules:
        if finding not in defaults:
            raise ValueError(f"label map: {finding} has no default line (*)")
    return tuple(FindingRules(name, tuple(lines), defaults[name]) for name, lines in rules.items())


def label_vector(
    rules: Iterable[FindingRules], codes: Collection[str], possible: Collection[str] = ()
) -> np.ndarray:
    """Labels of one ECG: int8 (number of findings,), values 1, 0, -1; see `FindingRules.label`."""
    present = frozenset(codes)
    return np.array([rule.label(present, possible) for rule in rules], np.int8)
