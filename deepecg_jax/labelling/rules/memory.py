"""Reading a sentence from memory: runs of words that were read before are not read again.

A sentence is cut into segments that cannot act on each other (`scan.Segment`). What a segment says
depends on its own words and on the few behind it that its reading looked at; these are the path to
it in a tree of pieces between spaces. A report of words that all came before, in another order, is
then read in a walk along its pieces. No path begins with another: as far as a segment looked, all
texts are alike, so it ends there in all.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from deepecg_jax.labelling.rules.lexicon import Lexicon
from deepecg_jax.labelling.rules.scan import Segment, scan
from deepecg_jax.labelling.rules.statements import Interpreter, State, Statement
from deepecg_jax.labelling.text.cutting import Pieces, Tokens, tokenize
from deepecg_jax.labelling.text.words import Chunk

_REMEMBERED = 200_000
_DIGIT = re.compile(r"\d")
Place = tuple[int, int, int, int]
"""A span: piece, character in it, and piece and character of the end; counted from a segment."""


class Said(NamedTuple):
    """What a segment of so many pieces says: findings, states and where, and where values are."""

    statements: list[tuple[int, State, list[Place]]]
    measured: list[tuple[str, Place]]
    pieces: int


Branches: TypeAlias = "dict[Chunk, Branches | tuple[list[Chunk], Said]]"
"""Piece -> what may follow it: a choice, or one known segment with the rest of its path."""


class Reader:
    """Reads sentences, and remembers their segments.

    Args:
        lexicon: the words and phrases.
        interpreter: what items mean together.
    """

    def __init__(self, lexicon: Lexicon, interpreter: Interpreter) -> None:
        self._lexicon = lexicon
        self._interpreter = interpreter
        self._roots: dict[int, Branches] = {}
        self._count = 0

    def read(self, text: str, pieces: Pieces, spoken: int) -> list[Statement]:
        """All that a sentence says in the languages ``spoken`` (bits, `Lexicon.spoken`)."""
        chunks, places = pieces.chunks, pieces.places
        root = self._roots.get(spoken)
        if root is None:
            root = self._roots[spoken] = {}
        tokens: Tokens | None = None
        segments: Iterator[Segment] | None = None
        said: list[Statement] = []
        at, count = 0, len(places)
        while at < count:
            found = _recall(root, chunks, at)
            if found is not None:
                segments = None
            else:
                if tokens is None:
                    tokens = tokenize(pieces)
                if segments is None:
                    start = bisect_left(tokens.owners, at)
                    segments = scan(text, tokens, start, spoken, self._lexicon)
                found, path = self._learn(segments, chunks, tokens, at)
                if path:
                    self._remember(root, path, found)
            statements, measured, past = found
            for finding, state, own in statements:
                spans = tuple([(places[at + i] + a, places[at + j] + b) for i, a, j, b in own])
                said.append((finding, state, spans))
            for name, (i, a, j, b) in measured:
                start, end = places[at + i] + a, places[at + j] + b
                if _DIGIT.search(text, end):  # most signs that may have a value have none
                    said += self._interpreter.measure(name, text, start, end)
            at += past
        return said

    def _learn(
        self,
        segments: Iterator[Segment],
        chunks: list[Chunk],
        tokens: Tokens,
        at: int,
    ) -> tuple[Said, list[Chunk]]:
        """Read the next segments, from piece ``at`` up to the end of a piece.

        Returns:
            what they say, and the path to them; it is empty if they must not be remembered.
        """
        owners, count, last = tokens.owners, len(tokens.words), len(chunks) - 1
        together: list[Segment] = []
        looked = 0
        for segment in segments:
            together.append(segment)
            looked = max(looked, segment.looked)
            # inside of a piece ("LBBB,RBBB") the path must go on to its end
            if segment.end == count or owners[segment.end] != owners[segment.end - 1]:
                break
        else:
            return Said([], [], last - at), []  # pieces without a word
        end = together[-1].end
        stop = owners[looked - 1] + 1 if looked <= count else last + 1
        end = min(last if end == count else owners[end], stop)
        found = self._said(together, tokens, at, end - at)
        # a piece that begins with a full stop depends on the one before it
        return found, [] if chunks[at].dots else chunks[at:stop]

    def _said(self, segments: Sequence[Segment], tokens: Tokens, at: int, pieces: int) -> Said:
        """What segments say that begin at piece ``at`` and have so many pieces."""
        _, owners, starts, ends, _ = tokens
        statements: list[tuple[int, State, list[Place]]] = []
        measured: list[tuple[str, Place]] = []
        for own in segments:
            base = own.base
            for finding, state, spans in self._interpreter.understand(own.part):
                where: list[Place] = []
                for first, last in spans:
                    i, j = base + first, base + last - 1
                    where.append((owners[i] - at, starts[i], owners[j] - at, ends[j]))
                statements.append((finding, state, where))
            for name, first, last in own.measured:
                i, j = first, last - 1
                place = owners[i] - at, starts[i], owners[j] - at, ends[j]
                measured.append((name, place))
        return Said(statements, measured, pieces)

    def _remember(self, root: Branches, path: list[Chunk], found: Said) -> None:
        if self._count >= _REMEMBERED:
            for other in self._roots.values():
                other.clear()
            self._count = 0
        self._count += 1
        for i, piece in enumerate(path, 1):
            branch = root.get(piece)
            if branch is None:
                root[piece] = path[i:], found
                return
            if isinstance(branch, tuple):
                # another segment begins with these pieces too: it moves on by one
                rest, other = branch
                branch = root[piece] = {rest[0]: (rest[1:], other)}
            root = branch


def _recall(root: Branches, chunks: list[Chunk], at: int) -> Said | None:
    """What the segment says that begins at piece ``at``, if it was read before."""
    branch = root.get(chunks[at])
    ahead = at + 1
    while isinstance(branch, dict):
        branch = branch.get(chunks[ahead])
        ahead += 1
    if branch is None:
        return None
    rest, found = branch
    return found if chunks[ahead : ahead + len(rest)] == rest else None
