"""The small pattern language of the rules: words, ``(a|b)``, ``[optional]`` and ``prefix*``.

``[in]complete`` is not a pattern of this language: alternatives are whole words, so that a rule
reads like the phrase it stands for. ``left [anterior] (hemiblock|fascicular block)`` stands for
four phrases. Hyphens, slashes and apostrophes separate words, in rules as in reports.
"""

import re

_PIECE = re.compile(r"[()\[\]|]|[^()\[\]|\s]+")
_MOST = 4000


class PatternError(ValueError):
    """A pattern cannot be read; the message says why."""


def expand(pattern: str) -> list[str]:
    """All phrases a pattern stands for, in the order of its alternatives.

    Raises:
        PatternError: brackets do not match, or the pattern stands for nothing or for too much.
    """
    pieces = _PIECE.findall(pattern)
    phrases, rest = _alternatives(pieces, 0, "", pattern)
    if rest != len(pieces):
        raise PatternError(f"{pattern!r} closes a bracket that it does not open")
    found = [" ".join(phrase) for phrase in phrases if phrase]
    if len(found) != len(phrases) or not found:
        raise PatternError(f"{pattern!r} also stands for no words at all")
    return list(dict.fromkeys(found))


def _alternatives(
    pieces: list[str], at: int, closing: str, pattern: str
) -> tuple[list[tuple[str, ...]], int]:
    """Phrases from piece ``at`` up to the ``closing`` bracket, and the position after it."""
    done: list[tuple[str, ...]] = []
    current: list[tuple[str, ...]] = [()]
    while at < len(pieces):
        piece = pieces[at]
        if piece in ")]":
            if piece != closing:
                raise PatternError(f"{pattern!r} has an unexpected {piece!r}")
            return done + current, at + 1
        if piece == "|":
            if not closing:
                raise PatternError(f"{pattern!r} has a | outside of brackets")
            done, current, at = done + current, [()], at + 1
            continue
        if piece in "([":
            inner, at = _alternatives(pieces, at + 1, ")" if piece == "(" else "]", pattern)
            inner = [*inner, ()] if piece == "[" else inner
        else:
            inner, at = [(piece,)], at + 1
        current = [left + right for left in current for right in inner]
        if len(current) > _MOST:
            raise PatternError(f"{pattern!r} stands for more than {_MOST} phrases; split it")
    if closing:
        raise PatternError(f"{pattern!r} does not close a bracket")
    return done + current, at
