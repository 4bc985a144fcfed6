"""A text to the items of the rules: one pass over its words."""

from collections.abc import Sequence
from typing import NamedTuple

from deepecg_jax.labels.reports.items import Item, Kind
from deepecg_jax.labels.reports.lexicon import END, JOINS, Lexicon, Meaning, Node, Word
from deepecg_jax.labels.reports.tokens import TOKEN

_NEEDS_COMPANY = frozenset({"i", "l", "f", "r", "vr", "vl", "vf"})
_MOST_SKIPPED = 3


class Tokens(NamedTuple):
    """The words of a text and where they stand."""

    words: list[Word]
    starts: list[int]
    ends: list[int]

    @property
    def weight(self) -> int:
        """Sum of the languages of the words, for `Lexicon.spoken`."""
        return sum([word.weight for word in self.words])


def tokenize(text: str, lexicon: Lexicon) -> Tokens:
    """Words, numbers and punctuation; the dot of an abbreviation is no token."""
    matches = list(TOKEN.finditer(text))
    known = lexicon.words
    words = [known[match.group()] for match in matches]
    if any([word.abbreviation for word in words]):
        kept = [
            i
            for i, word in enumerate(words)
            if not (i and word.text == "." and words[i - 1].abbreviation)
        ]
        matches, words = [matches[i] for i in kept], [words[i] for i in kept]
    starts = [match.start() for match in matches]
    return Tokens(words, starts, [match.end() for match in matches])


def scan(text: str, tokens: Tokens, spoken: int) -> list[Item]:
    """Find the longest phrases from left to right.

    Args:
        text: the report, or a part of it.
        tokens: its words.
        spoken: bits of the languages it may be in, from `Lexicon.spoken`.
    """
    words = tokens.words
    items: list[Item] = []
    at, count = 0, len(words)
    while at < count:
        word = words[at]
        if word.idle:
            at += 1
            continue
        last = at + 1
        if word.alone:
            found = _spoken_meaning(word.alone, spoken)
        elif word.nodes:
            found, last = _longest(words, at, spoken)
        else:
            found = None
        if word.lead and (found is None or found.kind == Kind.PLACE):
            leads, after = _leads(words, at, text, tokens)
            if leads:
                items.append(Item(Kind.LEADS, leads, at, after))
                at = after
                continue
        if found is not None:
            items.append(Item(found.kind, found.value, at, last))
            at = last
            continue
        if word.boundary:
            items.append(Item(Kind.BOUNDARY, None, at, at + 1))
        elif word.text in JOINS:
            items.append(Item(Kind.JOIN, JOINS[word.text], at, at + 1))
        at += 1
    return items


def _longest(words: list[Word], at: int, spoken: int) -> tuple[Meaning | None, int]:
    """The longest phrase that starts at a word, and the token after it."""
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
    return best, best_last


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
