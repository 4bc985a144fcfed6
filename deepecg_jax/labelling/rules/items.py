"""What the phrases of the rules stand for once they are found in a text."""

from typing import Any, NamedTuple


class Kind:
    """What a phrase is. FINDING, CONCEPT and OTHER are what cues and sites attach to.

    Plain numbers: an Enum is hashed by its name in Python, a third of the time of a report.
    """

    FINDING = 0
    CONCEPT = 1
    OTHER = 2
    LAST_TARGET = OTHER
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
    """A phrase in a text: its kind and meaning, first token and the token after its last.

    What ``value`` is depends on the kind: pairs of finding and state (FINDING), a `Sign` (CONCEPT),
    sites (SITE), leads (LEADS), an age, a `Cue`, a joining word, a quantity's name, or None.
    """

    kind: int
    value: Any
    first: int
    last: int


class Cue(NamedTuple):
    """A word that changes what is said.

    Attributes:
        effect: ``no``, ``maybe``, ``past``, ``known`` (there unless another rhythm is), ``apart``
            (a condition, another person: nothing is said of this ECG) or ``section`` (the same of
            all that follows: an indication).
        direction: ``before`` or ``after`` what it acts on, ``either``, ``contrast``: "but"
            after a denial, else a denial of what follows, or ``swap``: what stands before it is
            there instead of what follows, at the same site.
    """

    effect: str
    direction: str


class Sign(NamedTuple):
    """A concept of ``common.yaml`` with the sites and age that its phrase already names.

    ``denied`` says that the phrase itself denies it ("ST no longer elevated").
    """

    concept: str
    sites: frozenset[str] = frozenset()
    age: str = ""
    denied: bool = False


AND, OR, NOR, COMMA, SLASH = "and", "or", "nor", ",", "/"
"""What joins two statements; NOR only goes on with a denial."""
