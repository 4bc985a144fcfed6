"""Reading a sentence from memory: runs of words that were read before are not read again.

A sentence is cut into segments that cannot act on each other (`scan.Segment`). What a segment says
depends on its own words and on the few behind it that its reading looked at; these are the path to
it in a tree of pieces between spaces. A report of words that all came before, in another order, is
then read in a walk along its pieces.
"""

from bisect import bisect_right
from typing import Any, NamedTuple

from deepecg_jax.labels.reports.lexicon import Lexicon
from deepecg_jax.labels.reports.scan import Segment, Tokens, scan
from deepecg_jax.labels.reports.statements import Interpreter, Statement

_REMEMBERED = 200_000
_SAID = 0  # a key beside the pieces
_END = None  # the piece after the last of a sentence
Node = dict[Any, Any]


class Said(NamedTuple):
    """What a segment says: spans and places of values are tokens, counted from its first."""

    statements: tuple[Statement, ...]
    measured: tuple[tuple[str, int, int], ...]
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

    def read(self, text: str, tokens: Tokens, spoken: int) -> list[Statement]:
        """All that a sentence says in the languages ``spoken`` (bits, `Lexicon.spoken`)."""
        chunks, firsts = tokens.chunks, tokens.firsts
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
                self._learn(text, tokens, spoken, at, said)
                break
            found: Said = node[_SAID]
            self._say(found, firsts[at], text, tokens, said)
            at += found.pieces
        return said

    def _say(
        self, found: Said, base: int, text: str, tokens: Tokens, said: list[Statement]
    ) -> None:
        starts, ends = tokens.starts, tokens.ends
        for finding, state, own in found.statements:
            spans = tuple([(starts[base + first], ends[base + last - 1]) for first, last in own])
            said.append((finding, state, spans))
        for name, first, last in found.measured:
            said += self._interpreter.measure(
                name, text, starts[base + first], ends[base + last - 1]
            )

    def _learn(
        self, text: str, tokens: Tokens, spoken: int, at: int, said: list[Statement]
    ) -> None:
        """Read a sentence from piece ``at`` on, and remember its segments."""
        chunks, firsts = tokens.chunks, tokens.firsts
        count = len(tokens.words)
        # where a piece begins; of pieces without a word the next one that has some
        pieces = {first: i for i, first in enumerate(firsts)} | {count: len(chunks)}
        together: list[Segment] = []
        for segment in scan(text, tokens, spoken, self._lexicon, firsts[at]):
            together.append(segment)
            end = pieces.get(segment.end)
            if end is None:
                continue  # inside of a piece ("LBBB,RBBB"): the path must go on to its end
            looked = max(own.looked for own in together)
            stop = bisect_right(firsts, looked - 1)
            end = min(end, stop)
            found = self._said(together, firsts[at], end - at)
            self._say(found, firsts[at], text, tokens, said)
            # a piece that begins with a full stop depends on the one before it
            if not chunks[at].dots and end > at:
                path = [*chunks[at:stop], *([_END] if looked > count else [])]
                self._remember(spoken, path, found)
            at, together = end, []

    def _said(self, segments: list[Segment], base: int, pieces: int) -> Said:
        statements: list[Statement] = []
        measured: list[tuple[str, int, int]] = []
        for segment in segments:
            shift = segment.base - base
            for finding, state, own in self._interpreter.understand(segment.part):
                spans = tuple((first + shift, last + shift) for first, last in own)
                statements.append((finding, state, spans))
            measured += [(name, a - base, b - base) for name, a, b in segment.measured]
        return Said(tuple(statements), tuple(measured), pieces)

    def _remember(self, spoken: int, path: list[Any], found: Said) -> None:
        if self._count >= _REMEMBERED:
            self._roots.clear()
            self._count = 0
        self._count += 1
        node = self._roots.setdefault(spoken, {})
        for piece in path:
            node = node.setdefault(piece, {})
        node[_SAID] = found
