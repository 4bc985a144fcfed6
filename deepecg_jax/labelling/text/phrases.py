"""The phrases of the rules as a tree of symbols.

A symbol is a number for a word's spelling. A pattern is entered as it is written, choice by choice,
so that what its phrases begin with alike is walked once: they are many times the patterns.
"""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from deepecg_jax.labelling.text.folding import variants
from deepecg_jax.labelling.text.patterns import Phrase, parse
from deepecg_jax.labelling.text.tokens import words_of

Node = dict[int, Any]
"""Symbol -> the next node; under ``END`` the meanings of the phrase that ends here."""
END = -1
_SHORT = 4


class Meaning(NamedTuple):
    """What a phrase is in one set of languages; ``short`` needs one of them to be spoken.

    ``code`` is the number of its kind and value in `Phrases.meanings`.
    """

    languages: int
    short: bool
    kind: int
    code: int


class Phrases:
    """A tree of phrases with their meanings.

    Attributes:
        root: symbol -> node; a node's ``END`` has the meanings of the phrase that ends there.
        meanings: code -> kind of item and its value.
        symbols: folded spelling of a word -> its symbol.
        prefixes: folded beginning of words (``prefix*``) -> its symbol.
        spoken: folded word, or ``prefix*`` -> bits of the languages that have it.
    """

    def __init__(self) -> None:
        self.root: Node = {}
        self.meanings: list[tuple[int, Any]] = []  # what a value is depends on the kind
        self.symbols: dict[str, int] = {}
        self.prefixes: dict[str, int] = {}
        self.spoken: dict[str, int] = {}
        self._codes: dict[tuple[int, Hashable], int] = {}
        self._pieces: dict[tuple[int, str], list[list[int]]] = {}
        self._short: set[int] = set()

    def code_of(self, kind: int, value: Hashable) -> int:
        """The number that stands for a kind of item with its value; equal ones have the same."""
        code = self._codes.setdefault((kind, value), len(self.meanings))
        if code == len(self.meanings):
            self.meanings.append((kind, value))
        return code

    def add(self, patterns: Iterable[str], language: int, kind: int, value: Hashable) -> None:
        """Enter patterns of a language (its bit) that stand for an item."""
        meaning = Meaning(language, False, kind, self.code_of(kind, value))
        for pattern in patterns:
            for node in self._ends(pattern, language):
                _mean(node, meaning)

    def add_together(
        self, patterns: Iterable[tuple[str, Hashable]], language: int, kind: int
    ) -> None:
        """Enter patterns with a value each; a phrase of several stands for all their values."""
        nodes: dict[int, Node] = {}
        together: dict[int, tuple[Hashable, ...]] = {}
        for pattern, value in patterns:
            alone = (value,)
            for node in self._ends(pattern, language):
                before = together.get(id(node))
                if before is None:
                    nodes[id(node)], together[id(node)] = node, alone
                elif value not in before:
                    together[id(node)] = before + alone
        known: dict[tuple[Hashable, ...], Meaning] = {}
        for node, values in zip(nodes.values(), together.values(), strict=True):
            meaning = known.get(values)
            if meaning is None:
                meaning = known[values] = Meaning(language, False, kind, self.code_of(kind, values))
            _mean(node, meaning)

    def mark_short(self) -> None:
        """Mark the phrases of one short word; call it when all are entered."""
        for symbol in self._short:
            node = self.root.get(symbol, {})
            if END in node:
                node[END] = tuple([meaning._replace(short=True) for meaning in node[END]])

    def speak(self, word: str, language: int) -> None:
        """A language has a word."""
        for form in variants(word):
            if len(form) > 1 and not form.isdigit():
                self.spoken[form] = self.spoken.get(form, 0) | language

    def _ends(self, pattern: str, language: int) -> list[Node]:
        """The nodes where the phrases of a pattern end, entered if they are not there yet."""
        return self._walk(parse(pattern), [self.root], language)

    def _walk(self, phrase: Phrase, nodes: list[Node], language: int) -> list[Node]:
        for piece in phrase:
            if isinstance(piece, str):
                symbols = self._pieces.get((language, piece))
                if symbols is None:
                    symbols = self._pieces[language, piece] = self._read(piece, language)
                for forms in symbols:
                    nodes = [node.setdefault(form, {}) for node in nodes for form in forms]
            else:
                nodes = [end for choice in piece for end in self._walk(choice, nodes, language)]
        return nodes

    def _read(self, piece: str, language: int) -> list[list[int]]:
        """The symbols of the words of a piece, one for each spelling."""
        found: list[list[int]] = []
        for word in words_of(piece):
            self.speak(word, language)
            prefix = word[-1] == "*"
            table = self.prefixes if prefix else self.symbols
            forms = variants(word[:-1] if prefix else word)
            for form in forms:
                if form not in table:
                    table[form] = len(self.symbols) + len(self.prefixes)
                if len(word) <= _SHORT:
                    self._short.add(table[form])
            found.append([table[form] for form in forms])
        return found


def _mean(node: Node, meaning: Meaning) -> None:
    """Say what the phrase is that ends at a node."""
    others: tuple[Meaning, ...] = node.get(END, ())
    for i, other in enumerate(others):
        if other.code == meaning.code:
            both = other._replace(languages=other.languages | meaning.languages)
            node[END] = (*others[:i], both, *others[i + 1 :])
            return
    node[END] = (*others, meaning)
