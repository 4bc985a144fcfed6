"""A sentence to its pieces between spaces, and on to words."""

from collections.abc import Mapping
from typing import NamedTuple

from deepecg_jax.labelling.text.words import Chunk, Word

END_OF_TEXT = Chunk((), (), (), 0, dots=False, abbreviated=False)
"""The piece after the last: what is said before it may depend on nothing following."""


class Pieces(NamedTuple):
    """What stands between the spaces of a text, and last `END_OF_TEXT`; where each piece stands,
    and the sum of the languages of its words (`Lexicon.spoken`)."""

    chunks: list[Chunk]
    places: list[int]
    weight: int


class Tokens(NamedTuple):
    """The words of a text.

    Attributes:
        words: what is known of each.
        owners: number of the piece that each stands in.
        starts: its first character, counted from its piece.
        ends: the character after its last, counted from its piece.
        places: where the pieces stand in the text.
    """

    words: list[Word]
    owners: list[int]
    starts: list[int]
    ends: list[int]
    places: list[int]

    def start(self, token: int) -> int:
        """The first character of a token, counted from the text's."""
        return self.places[self.owners[token]] + self.starts[token]

    def end(self, token: int) -> int:
        """The character after a token's last, counted from the text's first."""
        return self.places[self.owners[token]] + self.ends[token]


def cut(text: str, known: Mapping[str, Chunk]) -> Pieces:
    """Cut a sentence at its spaces; no token has one."""
    chunks: list[Chunk] = []
    places: list[int] = []
    weight = at = 0
    get = known.get  # half the time of known[...], which asks a Python class
    for piece in text.split(" "):
        if piece:
            chunk = get(piece)
            if chunk is None:
                chunk = known[piece]
            chunks.append(chunk)
            places.append(at)
            weight += chunk.weight
            at += len(piece)
        at += 1
    chunks.append(END_OF_TEXT)
    return Pieces(chunks, places, weight)


def tokenize(pieces: Pieces) -> Tokens:
    """Words, numbers and punctuation. The dot of an abbreviation is no token."""
    chunks = pieces.chunks
    if any([chunk.dots for chunk in chunks]):
        chunks = _without_dots(chunks)
    return Tokens(
        [word for chunk in chunks for word in chunk.words],
        [i for i, chunk in enumerate(chunks) for _ in chunk.words],
        [start for chunk in chunks for start in chunk.starts],
        [end for chunk in chunks for end in chunk.ends],
        pieces.places,
    )


def _without_dots(chunks: list[Chunk]) -> list[Chunk]:
    """The same without the dots that stand, after a space, behind an abbreviation."""
    found: list[Chunk] = []
    abbreviated = False
    for chunk in chunks:
        if abbreviated and chunk.dots:
            found.append(Chunk(chunk.words[1:], chunk.starts[1:], chunk.ends[1:], 0, False, False))
        else:
            found.append(chunk)
        if chunk.words:
            abbreviated = chunk.abbreviated
    return found
