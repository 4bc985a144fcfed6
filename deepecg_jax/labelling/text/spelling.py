"""Misspelt words: the one rule word that is a small edit away, or none.

Guards, because a wrong correction is worse than none: short words are never corrected, the first
letter must be right, two edits need a long word, two rule words equally near mean neither, and
words that a rule file lists under ``different_words`` (``atypical``, ``interventricular``) stand
for themselves.
"""

from collections import defaultdict
from collections.abc import Collection

from deepecg_jax.labelling.text.folding import LOST

ONE_EDIT_FROM, TWO_EDITS_FROM = 6, 11


def distance(a: str, b: str, most: int) -> int:
    """Edits (insert, delete, replace, swap neighbours) from ``a`` to ``b``; above ``most``: more.

    Optimal string alignment (Damerau 1964), with an early end.
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    # what two words begin and end with alike costs nothing
    shorter = min(len(a), len(b))
    start = 0
    while start < shorter and a[start] == b[start]:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    if len(a) <= 1 and len(b) <= 1:
        return len(a) or len(b)
    if most == 1:
        return 1 if len(a) == len(b) == 2 and a == b[::-1] else 2
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]


class Speller:
    """Corrects folded words against a vocabulary of folded words.

    Args:
        words: the vocabulary; only its words of six letters and more are targets.
        known: words that are right although no rule uses them.
    """

    def __init__(self, words: Collection[str], known: Collection[str]) -> None:
        self._known = frozenset(known)
        self._by_length: dict[int, list[str]] = defaultdict(list)
        self._by_start: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        for word in sorted(words):
            if word.isalpha():
                self._by_length[len(word)].append(word)
                self._by_start[word[0], len(word)].append((_letters(word), word))

    def correct(self, word: str) -> str | None:
        """The rule word that is meant, None if there is none or more than one."""
        if any(mark in word for mark in LOST):
            return self._fill(word)
        if word in self._known or not word.isalpha() or len(word) < ONE_EDIT_FROM:
            return None
        most = 2 if len(word) >= TWO_EDITS_FROM else 1
        letters = _letters(word)
        nearest = set[str]()
        for length in range(max(len(word) - most, ONE_EDIT_FROM), len(word) + most + 1):
            for own, target in self._by_start.get((word[0], length), ()):
                # an edit changes at most two letters of the set: nearly all words are out at once
                if (letters ^ own).bit_count() > 2 * most:
                    continue
                edits = distance(word, target, most)
                if edits < most:
                    most, nearest = edits, {target}
                elif edits == most:
                    nearest.add(target)
        return nearest.pop() if len(nearest) == 1 else None

    def _fill(self, word: str) -> str | None:
        """The one word with the same letters where they survived (ae, oe, ue count as one)."""
        if len(word) < 4:
            return None
        fitting = {
            target
            for target in self._by_length.get(len(word), ())
            if all(a == b or a in LOST for a, b in zip(word, target, strict=True))
        }
        return fitting.pop() if len(fitting) == 1 else None


def _letters(word: str) -> int:
    """The set of letters of a folded word as bits."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 63)
    return bits
