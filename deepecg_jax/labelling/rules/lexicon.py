"""The rules compiled for reading: words to symbols, phrases to a tree of symbols.

The tree is walked once from each word of a text, over all languages at a time, and the longest
phrase wins. A word is looked up, folded and corrected the first time it is seen, then remembered.
"""

import re
from collections.abc import Hashable

from deepecg_jax.labelling.rules.items import AND, COMMA, NOR, OR, SLASH, Cue, Kind, Sign
from deepecg_jax.labelling.rules.rule_files import Cues, LanguageFile, Rules, SitedPhrase
from deepecg_jax.labelling.text.folding import fold, variants
from deepecg_jax.labelling.text.phrases import END, Meaning, Phrases
from deepecg_jax.labelling.text.spelling import Speller
from deepecg_jax.labelling.text.tokens import bare
from deepecg_jax.labelling.text.words import Chunk, Remembered, Word, chunk_of
from deepecg_jax.labels.findings import FINDINGS

_BITS, _UNIT = 16, 12  # a word's weight is shared by its languages; 12 divides by 1, 2, 3 and 4
_SHARE = (1 << _BITS) - 1
_DIGIT = re.compile(r"\d")
_REMEMBERED = 100_000
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
        self.phrases = Phrases()
        self._shifts = range(0, _BITS * len(languages), _BITS)
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
                self.phrases.speak(word, language)
            self._between |= {form for word in file.between for form in variants(word)}
            self._abbreviations |= {form for word in file.abbreviations for form in variants(word)}
            self._joining |= {fold(word) for word in (*file.and_words, *file.or_words)}
            self._ranging |= {fold(word) for word in file.range_words}
            different |= {form for word in file.different_words for form in variants(word)}
            different |= {form for word in file.language_words for form in variants(word)}
        self.phrases.mark_short()
        self.measured = self._measured()
        known = different | self._between | self._abbreviations
        self._speller = Speller(self.phrases.symbols, known)
        self._weights: dict[int, int] = {}
        self._mixed: dict[int, tuple[str, int]] = {}
        self.words: Remembered[Word] = Remembered(self.look_up)
        self.chunks: Remembered[Chunk] = Remembered(self._cut)

    def _cut(self, text: str) -> Chunk:
        """What stands between two spaces; numbers that no rule has are alike but for their length,
        so that dates and rates make no report a new one."""
        chunk = chunk_of(text, self.words)
        for word in chunk.words:
            if not word.number:
                return chunk
        same = _DIGIT.sub("0", text)
        return chunk if same == text else self.chunks[same]

    def _measured(self) -> dict[int, str]:
        """Code of a finding -> the quantity whose value may follow it."""
        quantities = self.common.quantities.items()
        found: dict[int, str] = {}
        for code, (kind, value) in enumerate(self.phrases.meanings):
            if kind == Kind.FINDING:
                named = {
                    FINDINGS[finding] for finding, state in value if _STATES[state] == "present"
                }
                for name, quantity in quantities:
                    if named.intersection(quantity.after):
                        found[code] = name
        return found

    def look_up(self, written: str) -> Word:
        """What is known of a word in the spelling of a report; ``words`` remembers it."""
        folded = fold(bare(written))
        symbols, languages = self._match(folded)
        join = -1
        if written in JOINS:
            join = self.phrases.code_of(Kind.JOIN, JOINS[written])
        elif not symbols:
            corrected = self._speller.correct(folded)
            if corrected is not None:
                folded = corrected
                symbols, languages = self._match(folded)
        root = self.phrases.root
        nodes = tuple([root[symbol] for symbol in symbols if symbol in root])
        alone: tuple[Meaning, ...] = ()
        if nodes and all([len(node) == (END in node) for node in nodes]):
            alone = tuple([meaning for node in nodes for meaning in node[END]])
        lead = self._leads.get(folded, "")
        boundary = written in _ENDS
        digit = int(folded) if len(folded) == 1 and folded in "123456789" else 0
        return Word(
            symbols=symbols,
            nodes=nodes,
            weight=self._weight(languages) if languages else 0,
            lead=lead,
            between=folded in self._between or written in ("/", "&", ":"),
            abbreviation=folded in self._abbreviations,
            joins=join >= 0 or folded in self._joining,
            join=join,
            ranges=folded in self._ranging,
            digit=digit,
            number=folded[:1].isdigit() and not (symbols or languages or lead or digit),
            text=folded,
            alone=alone,
            idle=not (nodes or lead or boundary or join >= 0),
            boundary=boundary,
        )

    def _match(self, folded: str) -> tuple[tuple[int, ...], int]:
        """The symbols of a folded word, and bits of the languages that have it."""
        phrases = self.phrases
        own = phrases.symbols.get(folded)
        found = () if own is None else (own,)
        languages = phrases.spoken.get(folded, 0)
        for prefix, symbol in phrases.prefixes.items():
            if folded.startswith(prefix):
                found = (*found, symbol)
                languages |= phrases.spoken.get(prefix + "*", 0)
        return found, languages

    def _weight(self, languages: int) -> int:
        """The weight of a word: an equal share for each of its languages, in that one's bits."""
        weight = self._weights.get(languages)
        if weight is None:
            share = _UNIT // languages.bit_count()
            shifts = [shift for i, shift in enumerate(self._shifts) if languages >> i & 1]
            weight = self._weights[languages] = sum([share << shift for shift in shifts])
        return weight

    def spoken(self, weight: int) -> tuple[str, int]:
        """The language of a text whose words weigh ``weight``, and all languages it may mix.

        Returns:
            (code, "" if no word is of any language; bits of the languages with half its weight).
        """
        found = self._mixed.get(weight)
        if found is None:
            shares = [weight >> shift & _SHARE for shift in self._shifts]
            most = max(shares)
            mixed = sum([1 << i for i, share in enumerate(shares) if 2 * share >= most])
            found = (self.languages[shares.index(most)], mixed) if most else ("", 0)
            if len(self._mixed) >= _REMEMBERED:
                self._mixed.clear()
            self._mixed[weight] = found
        return found

    def _add_file(self, file: LanguageFile, language: int) -> None:
        findings = [
            (pattern, (FINDINGS.index(finding), state))
            for finding, states in file.findings.items()
            for state, name in enumerate(_STATES)
            for pattern in getattr(states, name)
        ]
        self.phrases.add_together(findings, language, Kind.FINDING)
        for concept, own in file.concepts.items():
            for phrase in own:
                self._add_sign(concept, phrase, language)
        plain: list[tuple[int, Hashable, list[str]]] = [
            (Kind.OTHER, None, file.other),
            (Kind.LEAD_WORD, None, file.lead_words),
            (Kind.PLACE, None, file.place_words),
            (Kind.JOIN, AND, file.and_words),
            (Kind.JOIN, OR, file.or_words),
            (Kind.JOIN, NOR, file.nor_words),
            (Kind.STOP, None, file.stop),
            *((Kind.SITE, self._sites(site), own) for site, own in file.sites.items()),
            *((Kind.AGE, age, own) for age, own in file.ages.items()),
            *((Kind.QUANTITY, name, own) for name, own in file.quantities.items()),
            *_cues("no", file.negation),
            *_cues("maybe", file.uncertainty),
            *_cues("past", file.history),
            *_cues("known", file.known),
            *_cues("apart", file.apart),
            (Kind.CUE, Cue("section", "before"), file.sections),
        ]
        for kind, value, patterns in plain:
            self.phrases.add(patterns, language, kind, value)

    def _add_sign(self, concept: str, phrase: str | SitedPhrase, language: int) -> None:
        if isinstance(phrase, str):
            phrase = SitedPhrase(phrase=phrase)
        sites = self._sites(phrase.site) if phrase.site else frozenset[str]()
        sign = Sign(concept, sites, phrase.age or "", phrase.state == "absent")
        self.phrases.add([phrase.phrase], language, Kind.CONCEPT, sign)

    def _sites(self, name: str) -> frozenset[str]:
        return frozenset(self.common.composite_sites.get(name, [name]))


def _cues(effect: str, cues: Cues) -> list[tuple[int, Hashable, list[str]]]:
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
