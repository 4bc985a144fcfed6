"""Reading a sentence from memory: runs of words that were read before are not read again.

A sentence is cut into segments that cannot act on each other (`scan.Segment`). What a segment says
depends on its own words and on the few behind it that its reading looked at; these are the path to
it in a tree of pieces between spaces. A report of words that all came before, in another order, is
then read in a walk along its pieces.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from deepecg_jax.labels.reports.lexicon import Lexicon
from deepecg_jax.labels.reports.scan import Pieces, Segment, Tokens, scan, tokenize
from deepecg_jax.labels.reports.statements import Interpreter, State, Statement

_REMEMBERED = 200_000
_SAID = 0  # a key beside the pieces
_END = None  # the piece after the last of a sentence
Node = dict[Any, Any]


Place = tuple[int, int, int, int]
"""A span: piece, character in it, and piece and character of the end; counted from a segment."""


class Said(NamedTuple):
    """What a segment of so many pieces says: findings, states and where, and where values are."""

    statements: tuple[tuple[int, State, tuple[Place, ...]], ...]
    measured: tuple[tuple[str, Place], ...]
    pieces: int


class Reader:
    """Reads sentences, and remembers their segments.

    Args:
        lexicon: the words and phrases.
        interpreter: what items mean together.
    """

    def __init__(self, lexicon: Lexicon, interpreter: Interpreter) -> None:
        self._lexicon = lexicon
        self._interpreter = interpreter
        self._roots: dict[int, Node] = {}
        self._count = 0

    def read(self, text: str, pieces: Pieces, spoken: int) -> list[Statement]:
        """All that a sentence says in the languages ``spoken`` (bits, `Lexicon.spoken`)."""
        chunks, places = pieces.chunks, pieces.places
        said: list[Statement] = []
        at, count = 0, len(chunks)
        root = self._roots.setdefault(spoken, {})
        while at < count:
            node: Node | None = root.get(chunks[at])
            ahead = at + 1
            while node is not None and _SAID not in node:
                node = node.get(chunks[ahead] if ahead < count else _END)
                ahead += 1
            if node is None:
                for found in self._learn(text, pieces, spoken, at):
                    self._say(found, at, text, places, said)
                    at += found.pieces
                break
            found = node[_SAID]
            self._say(found, at, text, places, said)
            at += found.pieces
        return said

    def _say(
        self, found: Said, at: int, text: str, places: Sequence[int], said: list[Statement]
    ) -> None:
        for finding, state, own in found.statements:
            spans = tuple([(places[at + i] + a, places[at + j] + b) for i, a, j, b in own])
            said.append((finding, state, spans))
        for name, (i, a, j, b) in found.measured:
            said += self._interpreter.measure(name, text, places[at + i] + a, places[at + j] + b)

    def _learn(self, text: str, pieces: Pieces, spoken: int, at: int) -> Iterator[Said]:
        """Read a sentence from piece ``at`` on, and remember its segments."""
        chunks, tokens = pieces.chunks[at:], tokenize(pieces, at)
        places, firsts, count = pieces.places[at:], tokens.firsts, len(tokens.words)
        # where a piece begins; of pieces without a word the next one that has some
        beginning = {first: i for i, first in enumerate(firsts)} | {count: len(chunks)}
        own, together = 0, list[Segment]()
        for segment in scan(text, tokens, spoken, self._lexicon):
            together.append(segment)
            end = beginning.get(segment.end)
            if end is None:
                continue  # inside of a piece ("LBBB,RBBB"): the path must go on to its end
            looked = max(part.looked for part in together)
            stop = bisect_right(firsts, looked - 1)
            end = min(end, stop)
            found = self._said(together, places, tokens, own, end - own)
            # a piece that begins with a full stop depends on the one before it
            if not chunks[own].dots:
                path = [*chunks[own:stop], *([_END] if looked > count else [])]
                self._remember(spoken, path, found)
            yield found
            own, together = end, []

    def _said(
        self, segments: Sequence[Segment], places: Sequence[int], tokens: Tokens, at: int, n: int
    ) -> Said:
        """What segments say that begin at piece ``at`` and have ``n`` pieces."""

        def place(first: int, last: int) -> Place:
            i = bisect_right(tokens.firsts, first) - 1
            j = bisect_right(tokens.firsts, last - 1) - 1
            start, end = tokens.starts[first] - places[i], tokens.ends[last - 1] - places[j]
            return i - at, start, j - at, end

        statements: list[tuple[int, State, tuple[Place, ...]]] = []
        measured: list[tuple[str, Place]] = []
        for own in segments:
            for finding, state, spans in self._interpreter.understand(own.part):
                where = tuple(place(own.base + first, own.base + last) for first, last in spans)
                statements.append((finding, state, where))
            measured += [(name, place(first, last)) for name, first, last in own.measured]
        return Said(tuple(statements), tuple(measured), n)

    def _remember(self, spoken: int, path: list[Any], found: Said) -> None:
        if self._count >= _REMEMBERED:
            self._roots.clear()
            self._count = 0
        self._count += 1
        node = self._roots.setdefault(spoken, {})
        for piece in path:
            node = node.setdefault(piece, {})
        node[_SAID] = found
