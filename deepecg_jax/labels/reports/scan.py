"""A text to the items of the rules: one pass over its words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from deepecg_jax.labels.reports.items import Kind
from deepecg_jax.labels.reports.lexicon import Lexicon
from deepecg_jax.labels.reports.phrases import END, Meaning, Node
from deepecg_jax.labels.reports.words import Chunk, Word

_NEEDS_COMPANY = frozenset({"i", "l", "f", "r", "vr", "vl", "vf"})
_MOST_SKIPPED = 3
_WIDTH = 24
_LAST = (1 << _WIDTH) - 1


class Pieces(NamedTuple):
    """What stands between the spaces of a text, where, and the sum of the languages of its words
    (`Lexicon.spoken`)."""

    chunks: list[Chunk]
    places: list[int]
    weight: int


class Tokens(NamedTuple):
    """The words of a text and where they stand; ``firsts`` is the first token of each piece."""

    words: list[Word]
    starts: list[int]
    ends: list[int]
    firsts: list[int]


class Segment(NamedTuple):
    """A run of tokens that is read alike in every text that has it.

    It ends at a boundary, or between two targets with nothing that means anything between them.

    Attributes:
        start: its first token.
        end: the token after its last.
        looked: the token after the last that had a say in it; one more than there are if the end
            of the text had.
        part: its items, each one number (`unpack`): parts are looked up by their items, and
            numbers hash fast.
        base: the token that the items count from.
        measured: (value of a QUANTITY item, first token, token after its last).
    """

    start: int
    end: int
    looked: int
    part: tuple[int, ...]
    base: int
    measured: tuple[tuple[Any, int, int], ...]


def unpack(item: int) -> tuple[int, int, int]:
    """Code in ``Phrases.meanings``, first token and the token after the last, from the part's."""
    return item >> 2 * _WIDTH, item >> _WIDTH & _LAST, item & _LAST


def cut(text: str, lexicon: Lexicon) -> Pieces:
    """Cut a sentence at its spaces; no token has one."""
    known = lexicon.chunks
    chunks: list[Chunk] = []
    places: list[int] = []
    weight = at = 0
    for piece in text.split(" "):
        if piece:
            chunk = known[piece]
            chunks.append(chunk)
            places.append(at)
            weight += chunk.weight
            at += len(piece)
        at += 1
    return Pieces(chunks, places, weight)


def tokenize(pieces: Pieces, start: int) -> Tokens:
    """Words, numbers and punctuation from piece ``start`` on.

    The dot of an abbreviation is no token.
    """
    words: list[Word] = []
    starts: list[int] = []
    ends: list[int] = []
    firsts: list[int] = []
    before = next((chunk for chunk in reversed(pieces.chunks[:start]) if chunk.words), None)
    abbreviated = before is not None and before.abbreviated
    for chunk, at in zip(pieces.chunks[start:], pieces.places[start:], strict=True):
        skipped = int(abbreviated and chunk.dots)
        firsts.append(len(words))
        words += chunk.words[skipped:]
        starts += [at + start for start in chunk.starts[skipped:]]
        ends += [at + end for end in chunk.ends[skipped:]]
        if chunk.words:
            abbreviated = chunk.abbreviated
    return Tokens(words, starts, ends, firsts)


def scan(text: str, tokens: Tokens, spoken: int, lexicon: Lexicon) -> list[Segment]:
    """Find the longest phrases from left to right.

    Args:
        text: the report, or a part of it.
        tokens: its words.
        spoken: bits of the languages it may be in, from `Lexicon.spoken`.
        lexicon: the rules.
    """
    words = tokens.words
    segments: list[Segment] = []
    part: list[int] = []
    measured: list[tuple[Any, int, int]] = []
    start = base = looked = at = 0
    count, after_target = len(words), False

    def close(end: int, seen: int) -> None:
        nonlocal start, part, measured, looked, after_target
        segments.append(Segment(start, end, seen, tuple(part), base, tuple(measured)))
        start, part, measured, looked, after_target = end, [], [], end, False

    while at < count:
        word = words[at]
        if word.idle:
            at += 1
            continue
        last = seen = at + 1
        if word.alone:
            found = _spoken_meaning(word.alone, spoken)
        elif word.nodes:
            found, last, seen = _longest(words, at, spoken)
        else:
            found = None
        kind = code = -1
        if word.lead and (found is None or found.kind == Kind.PLACE):
            leads, after = _leads(words, at, text, tokens)
            seen = max(seen, max(after, at + 1) + 3)  # two small words and a lead behind them
            if leads:
                kind, code, last = Kind.LEADS, lexicon.phrases.code_of(Kind.LEADS, leads), after
        if kind < 0 and found is not None:
            kind, code = found.kind, found.code
        if kind < 0:
            last = at + 1
            if word.join < 0:
                looked = max(looked, seen)
                if word.boundary:
                    close(last, looked)
                at = last
                continue
            kind, code = Kind.JOIN, word.join
        if kind <= Kind.LAST_TARGET:
            if after_target:
                close(at, max(looked, seen))
            after_target = True
        else:
            after_target = False
            if kind == Kind.QUANTITY:
                measured.append((lexicon.phrases.meanings[code][1], at, last))
        if not part:
            base = at
        part.append((code << _WIDTH | at - base) << _WIDTH | last - base)
        looked = max(looked, seen)
        at = last
    if start < count:
        close(count, count + 1)
    return segments


def _longest(words: list[Word], at: int, spoken: int) -> tuple[Meaning | None, int, int]:
    """The longest phrase that starts at a word, the token after it, and after all looked at."""
    nodes: Sequence[Node] = words[at].nodes
    best: Meaning | None = None
    best_last = at
    ahead, skipped, count = at + 1, 0, len(words)
    while True:
        for node in nodes:
            if END in node and (ahead > best_last or best is None):
                meaning = _spoken_meaning(node[END], spoken)
                if meaning is not None:
                    best, best_last = meaning, ahead
        if ahead >= count:
            break
        onward = _onward(nodes, words[ahead])
        while not onward and skipped < _MOST_SKIPPED and ahead + 1 < count:
            # "left ventricular (mild) hypertrophy", "1. degree": step over what is no part of it
            word = words[ahead]
            if not (word.between or (word.text == "." and len(words[ahead - 1].text) <= 2)):
                break
            ahead, skipped = ahead + 1, skipped + 1
            onward = _onward(nodes, words[ahead])
        if not onward:
            break
        nodes = onward
        ahead += 1
    # the word at which it ended, and whether another follows
    return best, best_last, ahead + 2


def _onward(nodes: Sequence[Node], word: Word) -> Sequence[Node]:
    symbols = word.symbols
    if not symbols:
        return ()
    if len(nodes) == 1 and len(symbols) == 1:  # nearly always
        found = nodes[0].get(symbols[0])
        return () if found is None else (found,)
    return [node[symbol] for node in nodes for symbol in symbols if symbol in node]


def _spoken_meaning(meanings: Sequence[Meaning], spoken: int) -> Meaning | None:
    for meaning in meanings:
        if meaning.languages & spoken:
            return meaning
    for meaning in meanings:
        if not meaning.short:
            return meaning
    return None


def _leads(words: list[Word], at: int, text: str, tokens: Tokens) -> tuple[frozenset[str], int]:
    """Leads of a list such as ``ii, iii, avf`` or ``V2-6`` that starts here, and its end."""
    found = [words[at].lead]
    last = at + 1
    while last < len(words):
        # the separator: punctuation and small words, or a hyphen, which is no token
        ahead, ranged = last, False
        while ahead < len(words) and ahead - last < 2 and _separates(words[ahead]):
            ranged = ranged or words[ahead].ranges
            ahead += 1
        if ahead >= len(words):
            break
        gap = text[tokens.ends[ahead - 1] : tokens.starts[ahead]]
        hyphen = "-" in gap or "–" in gap
        if ahead == last and not hyphen:
            break
        lead = words[ahead].lead
        if words[ahead].digit and found[-1][0] == "V":
            lead = f"V{words[ahead].digit}"
        if not lead:
            break
        if (ranged or hyphen) and lead[0] == found[-1][0] == "V":
            found += [f"V{i}" for i in range(int(found[-1][1]) + 1, int(lead[1]))]
        found.append(lead)
        last = ahead + 1
    if len(found) == 1 and words[at].text in _NEEDS_COMPANY:
        before = text[: tokens.starts[at]].rstrip().rsplit(None, 1)
        if not before or before[-1].casefold() not in ("in", "lead", "leads", "ableitung"):
            return frozenset(), at
    return frozenset(found), last


def _separates(word: Word) -> bool:
    return word.joins or word.ranges
