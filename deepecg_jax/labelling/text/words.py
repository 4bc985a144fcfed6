"""What is remembered of the words of reports: their meanings, and the pieces they stand in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from deepecg_jax.labelling.text.phrases import Meaning, Node
from deepecg_jax.labelling.text.tokens import TOKEN

_REMEMBERED = 200_000
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Word:
    """What is known of a word as it was written.

    ``alone`` are its meanings if no longer phrase can start with it; ``idle`` is a word at which
    nothing can start; ``join`` is the code of a punctuation mark that joins, -1 if it is none.
    """

    symbols: tuple[int, ...]
    nodes: tuple[Node, ...]
    weight: int
    lead: str
    between: bool
    abbreviation: bool
    joins: bool
    join: int
    ranges: bool
    digit: int
    number: bool
    text: str
    alone: tuple[Meaning, ...]
    idle: bool
    boundary: bool


@dataclass(slots=True, eq=False)
class Chunk:
    """The words of a text between two spaces, and where they stand in it.

    ``dots`` says that it starts with a full stop, ``abbreviated`` that it ends in an abbreviation:
    the dot of an abbreviation is no word, also when a space stands before it.
    """

    words: tuple[Word, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    weight: int
    dots: bool
    abbreviated: bool


class Remembered(dict[str, T]):
    """What a function says of a text, asked for the first time only."""

    def __init__(self, find: Callable[[str], T]) -> None:
        self._find = find

    def __missing__(self, text: str) -> T:
        if len(self) >= _REMEMBERED:
            self.clear()  # a stream of rubbish must not fill the memory
        found = self[text] = self._find(text)
        return found


def _as_read(text: str, match: re.Match[str]) -> str:
    """The word of a match; the question mark of "?LVH" is another than that of "LVH?"."""
    opens = match.group() == "?" and text[match.end() : match.end() + 1].isalpha()
    return "¿" if opens else match.group()


def chunk_of(text: str, known: Mapping[str, Word]) -> Chunk:
    """Cut what stands between two spaces into words, numbers and punctuation."""
    matches = list(TOKEN.finditer(text))
    words = [known[_as_read(text, match)] for match in matches]
    dots = bool(words) and words[0].text == "."
    abbreviated = bool(words) and words[-1].abbreviation
    # the dot of an abbreviation is no word
    for i in range(len(words) - 1, 0, -1):
        if words[i].text == "." and words[i - 1].abbreviation:
            del words[i], matches[i]
    return Chunk(
        words=tuple(words),
        starts=tuple([match.start() for match in matches]),
        ends=tuple([match.end() for match in matches]),
        weight=sum([word.weight for word in words]),
        dots=dots,
        abbreviated=abbreviated,
    )
