"""The small pattern language of the rules: words, ``(a|b)``, ``[optional]`` and ``prefix*``.

``[in]complete`` is not a pattern of this language: alternatives are whole words, so that a rule
reads like the phrase it stands for. ``left [anterior] (hemiblock|fascicular block)`` stands for
four phrases. Hyphens, slashes and apostrophes separate words, in rules as in reports.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

_PIECE = re.compile(r"[()\[\]|]|[^()\[\]|\s]+")
_MOST = 4000
_CLOSING = {"(": ")", "[": "]"}

Phrase: TypeAlias = "tuple[Piece, ...]"
"""A pattern that was read: words, and choices between phrases, one after the other."""
Piece: TypeAlias = "str | tuple[Phrase, ...]"


class PatternError(ValueError):
    """A pattern cannot be read; the message says why."""


class _Read(NamedTuple):
    """Alternatives up to a closing bracket: how many phrases, one of no words, where they end."""

    alternatives: tuple[Phrase, ...]
    count: int
    empty: bool
    end: int


@cache
def parse(pattern: str) -> Phrase:
    """A pattern as words and choices, without writing out the phrases that it stands for.

    Raises:
        PatternError: brackets do not match, or the pattern stands for nothing or for too much.
    """
    read = _alternatives(_PIECE.findall(pattern), 0, "", pattern)
    if read.empty:
        raise PatternError(f"{pattern!r} also stands for no words at all")
    return read.alternatives[0]


def expand(pattern: str) -> list[str]:
    """All phrases a pattern stands for, in the order of its alternatives.

    Raises:
        PatternError: as `parse`.
    """
    return list(dict.fromkeys(" ".join(words) for words in _written_out(parse(pattern))))


def _written_out(phrase: Phrase) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for piece in phrase:
        if isinstance(piece, str):
            inner = [(piece,)]
        else:
            inner = [words for choice in piece for words in _written_out(choice)]
        found = [left + right for left in found for right in inner]
    return found


def _alternatives(pieces: Sequence[str], at: int, closing: str, pattern: str) -> _Read:
    """Read from piece ``at`` up to the ``closing`` bracket."""
    done: list[Phrase] = []
    current: list[Piece] = []
    total, count, any_empty, empty = 0, 1, False, True
    while at < len(pieces):
        piece = pieces[at]
        at += 1
        if piece == closing or (piece == "|" and closing):
            done.append(tuple(current))
            total, any_empty = total + count, any_empty or empty
            if piece == closing:
                return _Read(tuple(done), total, any_empty, at)
            current, count, empty = [], 1, True
        elif piece in ")]":
            raise PatternError(f"{pattern!r} has an unexpected {piece!r}")
        elif piece == "|":
            raise PatternError(f"{pattern!r} has a | outside of brackets")
        elif piece in "([":
            inner = _alternatives(pieces, at, _CLOSING[piece], pattern)
            optional = piece == "["
            current.append((*inner.alternatives, ()) if optional else inner.alternatives)
            count *= inner.count + optional
            empty = empty and (optional or inner.empty)
            at = inner.end
        else:
            current.append(piece)
            empty = False
        if count > _MOST:
            raise PatternError(f"{pattern!r} stands for more than {_MOST} phrases; split it")
    if closing:
        raise PatternError(f"{pattern!r} does not close a bracket")
    return _Read((tuple(current),), count, empty, at)
