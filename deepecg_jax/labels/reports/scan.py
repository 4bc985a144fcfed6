"""A text to the items of the rules: one pass over its words."""

from typing import NamedTuple

from deepecg_jax.labels.reports.items import Item, Kind
from deepecg_jax.labels.reports.lexicon import END, JOINS, Lexicon, Meaning, Word
from deepecg_jax.labels.reports.tokens import TOKEN

_ENDS = frozenset(".;!\n")
_NEEDS_COMPANY = frozenset({"i", "l", "f", "r", "vr", "vl", "vf"})
_MOST_SKIPPED = 3


class Scan(NamedTuple):
    """The items of a text, the positions of its tokens, and its language ("" if unknown)."""

    items: list[Item]
    starts: list[int]
    ends: list[int]
    language: str


def scan(text: str, lexicon: Lexicon) -> Scan:
    """Find the longest phrases from left to right."""
    words: list[Word] = []
    starts: list[int] = []
    ends: list[int] = []
    look_up = lexicon.word
    before: Word | None = None
    for match in TOKEN.finditer(text):
        word = look_up(match.group())
        if before is not None and before.abbreviation and match.group() == ".":
            continue
        words.append(word)
        starts.append(match.start())
        ends.append(match.end())
        before = word
    language, spoken = lexicon.spoken(sum(word.weight for word in words))
    items: list[Item] = []
    at, count = 0, len(words)
    while at < count:
        word = words[at]
        found, last = _longest(words, at, spoken) if word.nodes else (None, at)
        if word.lead and (found is None or found.kind is Kind.PLACE):
            leads, after = _leads(words, at, text, starts, ends)
            if leads:
                items.append(Item(Kind.LEADS, leads, at, after))
                at = after
                continue
        if found is not None:
            items.append(Item(found.kind, found.value, at, last))
            at = last
            continue
        if word.text in _ENDS:
            items.append(Item(Kind.BOUNDARY, None, at, at + 1))
        elif word.text in JOINS:
            items.append(Item(Kind.JOIN, JOINS[word.text], at, at + 1))
        at += 1
    return Scan(items, starts, ends, language)


def _longest(words: list[Word], at: int, spoken: int) -> tuple[Meaning | None, int]:
    """The longest phrase that starts at a word, and the token after it."""
    nodes = words[at].nodes
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
        word = words[ahead]
        onward = [node[s] for node in nodes for s in word.symbols if s in node]
        while not onward and skipped < _MOST_SKIPPED and ahead + 1 < count:
            # "left ventricular (mild) hypertrophy", "1. degree": step over what is no part of it
            if not (word.between or (word.text == "." and len(words[ahead - 1].text) <= 2)):
                break
            ahead, skipped = ahead + 1, skipped + 1
            word = words[ahead]
            onward = [node[s] for node in nodes for s in word.symbols if s in node]
        if not onward:
            break
        nodes = onward
        ahead += 1
    return best, best_last


def _spoken_meaning(meanings: list[Meaning], spoken: int) -> Meaning | None:
    for meaning in meanings:
        if meaning.languages & spoken:
            return meaning
    for meaning in meanings:
        if not meaning.short:
            return meaning
    return None


def _leads(
    words: list[Word], at: int, text: str, starts: list[int], ends: list[int]
) -> tuple[frozenset[str], int]:
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
        gap = text[ends[ahead - 1] : starts[ahead]]
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
        before = text[: starts[at]].rstrip().rsplit(None, 1)
        if not before or before[-1].casefold() not in ("in", "lead", "leads", "ableitung"):
            return frozenset(), at
    return frozenset(found), last


def _separates(word: Word) -> bool:
    return word.joins or word.ranges
