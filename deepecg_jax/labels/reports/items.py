"""What the phrases of the rules stand for once they are found in a text."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple


class Kind(IntEnum):
    """What a phrase is. FINDING, CONCEPT and OTHER are what cues and sites attach to."""

    FINDING = 0
    CONCEPT = 1
    OTHER = 2
    SITE = 3
    LEADS = 4
    AGE = 5
    CUE = 6
    JOIN = 7
    STOP = 8
    PLACE = 9
    LEAD_WORD = 10
    QUANTITY = 11
    BOUNDARY = 12


TARGETS = frozenset({Kind.FINDING, Kind.CONCEPT, Kind.OTHER})


class Item(NamedTuple):
    """A phrase in a text: its kind and meaning, first token and the token after its last."""

    kind: Kind
    value: Any
    first: int
    last: int


@dataclass(frozen=True)
class Cue:
    """A word that changes what is said: ``effect`` is ``no``, ``maybe`` or ``past``."""

    effect: str
    direction: str


@dataclass(frozen=True)
class Sign:
    """A concept of ``common.yaml`` with the sites and age that its phrase already names."""

    concept: str
    sites: frozenset[str] = frozenset()
    age: str = ""


AND, OR, COMMA = "and", "or", ","
