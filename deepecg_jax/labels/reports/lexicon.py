"""The rules compiled for reading: words to symbols, phrases to a tree of symbols.

The tree is walked once from each word of a text, over all languages at a time, and the longest
phrase wins. A word is looked up, folded and corrected the first time it is seen, then remembered.
"""

import re
from collections.abc import Iterable
from typing import Any

from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.labels.reports.folding import fold, variants
from deepecg_jax.labels.reports.items import AND, COMMA, NOR, OR, SLASH, Cue, Kind, Sign
from deepecg_jax.labels.reports.patterns import expand
from deepecg_jax.labels.reports.schema import Cues, LanguageFile, Rules, SitedPhrase
from deepecg_jax.labels.reports.spelling import Speller
from deepecg_jax.labels.reports.tokens import bare, words_of
from deepecg_jax.labels.reports.words import END, Chunk, Meaning, Node, Remembered, Word, chunk_of

_BITS, _UNIT = 16, 12  # a word's weight is shared by its languages; 12 divides by 1, 2, 3 and 4
_SHARE = (1 << _BITS) - 1
_SHORT = 4
_DIGIT = re.compile(r"\d")
_ENDS = frozenset(".;!\n")
JOINS = {",": COMMA, "/": SLASH, "&": AND, "+": AND}
_STATES = ("present", "uncertain", "absent")


class Lexicon:
    """Words and phrases of a set of rules.

    Args:
        rules: the rule files.
        languages: the languages to read; phrases of others do not exist then.
    """

    def __init__(self, rules: Rules, languages: tuple[str, ...]) -> None:
        self.languages = languages
        self.common = rules.common
        self.measured: dict[int, str] = {}  # code of a finding -> the quantity that may follow it
        self.root: Node = {}
        self.meanings: list[tuple[int, Any]] = []
        self._codes: dict[tuple[int, Any], int] = {}
        self._shifts = range(0, _BITS * len(languages), _BITS)
        self._symbols: dict[str, int] = {}
        self._prefixes: dict[str, int] = {}
        self._spoken: dict[str, int] = {}
        self._between: set[str] = set()
        self._abbreviations: set[str] = set()
        self._joining: set[str] = set()
        self._ranging: set[str] = set()
        self._leads = _lead_names()
        different: set[str] = set()
        files = [file for file in rules.files if file.language in languages]
        for file in files:
            language = 1 << languages.index(file.language)
            self._add_file(file, language)
            for word in file.language_words:
                self._speak(word, language)
            self._between |= {form for word in file.between for form in variants(word)}
            self._abbreviations |= {form for word in file.abbreviations for form in variants(word)}
            self._joining |= {fold(word) for word in (*file.and_words, *file.or_words)}
            self._ranging |= {fold(word) for word in file.range_words}
            different |= {form for word in file.different_words for form in variants(word)}
            different |= {form for word in file.language_words for form in variants(word)}
        self._speller = Speller(self._symbols, {*different, *self._between, *self._abbreviations})
        self.words: Remembered[Word] = Remembered(self.look_up)
        self.chunks: Remembered[Chunk] = Remembered(self._cut)

    def _cut(self, text: str) -> Chunk:
        """What stands between two spaces; numbers that no rule has are alike but for their length,
        so that dates and rates make no report a new one."""
        chunk = chunk_of(text, self.words)
        if not all(word.number for word in chunk.words):
            return chunk
        same = _DIGIT.sub("0", text)
        return chunk if same == text else self.chunks[same]

    def code_of(self, kind: int, value: Any) -> int:
        """The number that stands for a kind of item with its value; equal ones have the same."""
        code = self._codes.setdefault((kind, value), len(self.meanings))
        if code == len(self.meanings):
            self.meanings.append((kind, value))
            if kind == Kind.FINDING:
                self._measure(code, value)
        return code

    def _measure(self, code: int, said: Iterable[tuple[int, int]]) -> None:
        named = {FINDINGS[finding] for finding, state in said if _STATES[state] == "present"}
        for name, quantity in self.common.quantities.items():
            if named.intersection(quantity.after):
                self.measured[code] = name

    def look_up(self, written: str) -> Word:
        """What is known of a word in the spelling of a report; ``words`` remembers it."""
        folded = fold(bare(written))
        symbols = self._match(folded)
        if not symbols and written not in JOINS:
            corrected = self._speller.correct(folded)
            if corrected is not None:
                folded = corrected
                symbols = self._match(folded)
        spoken = self._spoken.get(folded, 0)
        for prefix in self._prefixes:
            if folded.startswith(prefix):
                spoken |= self._spoken.get(prefix + "*", 0)
        share = _UNIT // spoken.bit_count() if spoken else 0
        weight = sum(share << _BITS * i for i in range(len(self.languages)) if spoken >> i & 1)
        nodes = tuple(self.root[symbol] for symbol in symbols if symbol in self.root)
        own = tuple(meaning for node in nodes for meaning in node.get(END, ()))
        longer = any(len(node) > (END in node) for node in nodes)
        lead = self._leads.get(folded, "")
        boundary = written in _ENDS
        digit = int(folded) if len(folded) == 1 and folded in "123456789" else 0
        number = folded[:1].isdigit() and not (symbols or spoken or lead or digit)
        return Word(
            symbols=symbols,
            nodes=nodes,
            weight=weight,
            lead=lead,
            between=folded in self._between or written in ("/", "&", ":"),
            abbreviation=folded in self._abbreviations,
            joins=written in JOINS or folded in self._joining,
            join=self.code_of(Kind.JOIN, JOINS[written]) if written in JOINS else -1,
            ranges=folded in self._ranging,
            digit=digit,
            number=number,
            text=folded,
            alone=() if longer else own,
            idle=not (nodes or lead or boundary or written in JOINS),
            boundary=boundary,
        )

    def _match(self, folded: str) -> tuple[int, ...]:
        own = self._symbols.get(folded)
        found = [] if own is None else [own]
        found += [number for text, number in self._prefixes.items() if folded.startswith(text)]
        return tuple(found)

    def spoken(self, weight: int) -> tuple[str, int]:
        """The language of a text whose words weigh ``weight``, and all languages it may mix.

        Returns:
            (code, "" if no word is of any language; bits of the languages with half its weight).
        """
        shares = [weight >> shift & _SHARE for shift in self._shifts]
        most = max(shares)
        if most == 0:
            return "", 0
        mixed = sum([1 << i for i, share in enumerate(shares) if 2 * share >= most])
        return self.languages[shares.index(most)], mixed

    def _add_file(self, file: LanguageFile, language: int) -> None:
        together: dict[str, list[tuple[int, int]]] = {}
        for finding, states in file.findings.items():
            for state, name in enumerate(_STATES):
                for phrase in _all(getattr(states, name)):
                    together.setdefault(phrase, []).append((FINDINGS.index(finding), state))
        for phrase, values in together.items():
            self._add(phrase, language, Kind.FINDING, tuple(values))
        for concept, phrases in file.concepts.items():
            for phrase in phrases:
                self._add_sign(concept, phrase, language)
        plain: list[tuple[int, Any, list[str]]] = [
            (Kind.OTHER, None, file.other),
            (Kind.LEAD_WORD, None, file.lead_words),
            (Kind.PLACE, None, file.place_words),
            (Kind.JOIN, AND, file.and_words),
            (Kind.JOIN, OR, file.or_words),
            (Kind.JOIN, NOR, file.nor_words),
            (Kind.STOP, None, file.stop),
            *((Kind.SITE, self._sites(site), phrases) for site, phrases in file.sites.items()),
            *((Kind.AGE, age, phrases) for age, phrases in file.ages.items()),
            *((Kind.QUANTITY, name, phrases) for name, phrases in file.quantities.items()),
            *_cues("no", file.negation),
            *_cues("maybe", file.uncertainty),
            *_cues("past", file.history),
            *_cues("known", file.known),
            *_cues("apart", file.apart),
            (Kind.CUE, Cue("section", "before"), file.sections),
        ]
        for kind, value, phrases in plain:
            for phrase in _all(phrases):
                self._add(phrase, language, kind, value)

    def _add_sign(self, concept: str, phrase: str | SitedPhrase, language: int) -> None:
        if isinstance(phrase, str):
            phrase = SitedPhrase(phrase=phrase)
        sites = self._sites(phrase.site) if phrase.site else frozenset[str]()
        denied = phrase.state == "absent"
        for words in expand(phrase.phrase):
            self._add(words, language, Kind.CONCEPT, Sign(concept, sites, phrase.age or "", denied))

    def _sites(self, name: str) -> frozenset[str]:
        return frozenset(self.common.composite_sites.get(name, [name]))

    def _add(self, phrase: str, language: int, kind: int, value: Any) -> None:
        words = words_of(phrase)
        short = len(words) == 1 and len(words[0]) <= _SHORT
        nodes = [self.root]
        for word in words:
            self._speak(word, language)
            nodes = [node.setdefault(s, {}) for node in nodes for s in self._symbols_of(word)]
        code = self.code_of(kind, value)
        for node in nodes:
            meanings: list[Meaning] = node.setdefault(END, [])
            for i, other in enumerate(meanings):
                if other.code == code:
                    meanings[i] = other._replace(languages=other.languages | language)
                    break
            else:
                meanings.append(Meaning(language, short, kind, code))

    def _symbols_of(self, word: str) -> list[int]:
        table, forms = (
            (self._prefixes, variants(word[:-1])) if word[-1] == "*" else
            (self._symbols, variants(word))
        )  # fmt: skip
        for form in forms:
            if form not in table:
                table[form] = len(self._symbols) + len(self._prefixes)
        return [table[form] for form in forms]

    def _speak(self, word: str, language: int) -> None:
        for form in variants(word):
            if len(form) > 1 and not form.isdigit():
                self._spoken[form] = self._spoken.get(form, 0) | language


def _all(patterns: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(phrase for pattern in patterns for phrase in expand(pattern))


def _cues(effect: str, cues: Cues) -> list[tuple[int, Any, list[str]]]:
    return [
        (Kind.CUE, Cue(effect, direction), getattr(cues, direction))
        for direction in ("before", "after", "either", "contrast", "swap")
    ]


def _lead_names() -> dict[str, str]:
    limb = ("I", "II", "III")
    names = {fold(name): name for name in (*limb, "aVR", "aVL", "aVF")}
    names |= {"r": "aVR", "l": "aVL", "f": "aVF", "vr": "aVR", "vl": "aVL", "vf": "aVF"}
    names |= {f"v{i}": f"V{i}" for i in range(1, 10)}
    names |= {f"d{fold(name)}": name for name in limb}
    return names | {f"d{i}": name for i, name in enumerate(limb, 1)}
