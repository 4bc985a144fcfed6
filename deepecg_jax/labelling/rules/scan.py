"""A text to the items of the rules: one pass over its words."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deepecg_jax.labelling.rules.items import Kind
from deepecg_jax.labelling.rules.lexicon import Lexicon
from deepecg_jax.labelling.text.cutting import Tokens
from deepecg_jax.labelling.text.phrases import END, Meaning, Node
from deepecg_jax.labelling.text.words import Word

_NEEDS_COMPANY = frozenset({"i", "l", "f", "r", "vr", "vl", "vf"})
_MOST_SKIPPED = 3
_WIDTH = 24
_LAST = (1 << _WIDTH) - 1


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
    measured: tuple[tuple[str, int, int], ...]


def unpack(item: int) -> tuple[int, int, int]:
    """Code in ``Phrases.meanings``, first token and the token after the last, from the part's."""
    return item >> 2 * _WIDTH, item >> _WIDTH & _LAST, item & _LAST


def scan(text: str, tokens: Tokens, start: int, spoken: int, lexicon: Lexicon) -> Iterator[Segment]:
    """Find the longest phrases from left to right.

    Args:
        text: the report, or a part of it.
        tokens: its words.
        start: the token to begin at.
        spoken: bits of the languages it may be in, from `Lexicon.spoken`.
        lexicon: the rules.
    """
    words = tokens.words
    part: list[int] = []
    measured: list[tuple[str, int, int]] = []
    base = looked = at = start
    count, after_target = len(words), False
    while at < count:
        word = words[at]
        if word.idle:
            at += 1
            continue
        last = seen = at + 1
        found: Meaning | None = None
        if word.alone:
            found = _spoken_meaning(word.alone, spoken)
        elif word.nodes:
            found, last, seen = _longest(words, at, spoken)
        kind = code = -1
        if word.lead and (found is None or found.kind == Kind.PLACE):
            leads, after = _leads(words, at, text, tokens)
            seen = max(seen, max(after, at + 1) + 3)  # two small words and a lead behind them
            if leads:
                kind, code, last = Kind.LEADS, lexicon.phrases.code_of(Kind.LEADS, leads), after
        if kind < 0 and found is not None:
            _, _, kind, code = found
        if kind < 0 and word.join >= 0:
            kind, code, last = Kind.JOIN, word.join, at + 1
        if 0 <= kind <= Kind.LAST_TARGET and after_target:
            yield Segment(start, at, max(looked, seen), tuple(part), base, tuple(measured))
            start = looked = at
            part.clear()
            measured.clear()
        if seen > looked:
            looked = seen
        if kind < 0:
            at += 1
            if word.boundary:
                yield Segment(start, at, looked, tuple(part), base, tuple(measured))
                start = looked = at
                part.clear()
                measured.clear()
                after_target = False
            continue
        after_target = kind <= Kind.LAST_TARGET
        if code in lexicon.measured:
            measured.append((lexicon.measured[code], at, last))
        elif kind == Kind.QUANTITY:
            measured.append((lexicon.phrases.meanings[code][1], at, last))
        if not part:
            base = at
        part.append((code << _WIDTH | at - base) << _WIDTH | last - base)
        at = last
    if start < count:
        yield Segment(start, count, count + 1, tuple(part), base, tuple(measured))


def _longest(words: list[Word], at: int, spoken: int) -> tuple[Meaning | None, int, int]:
    """The longest phrase that starts at a word, the token after it, and after all looked at."""
    nodes: Sequence[Node] = words[at].nodes
    best: Meaning | None = None
    best_last = at
    ahead, skipped, count = at + 1, 0, len(words)
    while True:
        longer = False
        for node in nodes:
            meanings = node.get(END)
            if meanings is None:
                longer = True
                continue
            longer = longer or len(node) > 1
            if ahead > best_last:
                meaning = _spoken_meaning(meanings, spoken)
                if meaning is not None:
                    best, best_last = meaning, ahead
        if not longer:
            return best, best_last, ahead
        if ahead >= count:
            return best, best_last, count + 1
        onward = _onward(nodes, words[ahead])
        while not onward:
            # "left ventricular (mild) hypertrophy", "1. degree": step over what is no part of it
            word = words[ahead]
            between = word.between or (word.text == "." and len(words[ahead - 1].text) <= 2)
            if skipped == _MOST_SKIPPED or not between:
                return best, best_last, ahead + 1
            ahead, skipped = ahead + 1, skipped + 1
            if ahead == count:
                return best, best_last, count + 1
            onward = _onward(nodes, words[ahead])
        nodes = onward
        ahead += 1


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
        if meaning[0] & spoken:
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
        gap = text[tokens.end(ahead - 1) : tokens.start(ahead)]
        hyphen = "-" in gap or "–" in gap
        if ahead == last and gap and not hyphen:
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
        before = text[: tokens.start(at)].rstrip().rsplit(None, 1)
        if not before or before[-1].casefold() not in ("in", "lead", "leads", "ableitung"):
            return frozenset(), at
    return frozenset(found), last


def _separates(word: Word) -> bool:
    return word.joins or word.ranges
