"""Reports to findings: `Labeller.label` reads one text, `Labeller.label_all` many."""

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.lexicon import Lexicon
from deepecg_jax.labelling.rules.memory import Reader
from deepecg_jax.labelling.rules.rule_files import Rules, shipped_rules
from deepecg_jax.labelling.rules.statements import KNOWN, Interpreter, Span, State, Statement
from deepecg_jax.labelling.text.cutting import Pieces, cut
from deepecg_jax.labelling.text.folding import needs_repair, repair
from deepecg_jax.labelling.text.tokens import END_OF_SENTENCE
from deepecg_jax.labels.findings import FINDINGS

_REMEMBERED = 100_000
_STATES = tuple(State)


@dataclass(frozen=True, slots=True)
class Labels:
    """What one report says.

    Attributes:
        states: number of a finding (position in ``FINDINGS``) -> its state.
        evidence: number of a finding -> spans [start, end) in the text, in their order: the words
            that name it and the words that deny it or doubt it.
        language: code of the language, "" if no word of the text is known.
    """

    states: dict[int, State]
    evidence: dict[int, tuple[Span, ...]]
    language: str

    def named(self) -> dict[str, str]:
        """Finding -> ``present``, ``uncertain`` or ``absent``, in the order of ``FINDINGS``."""
        return {FINDINGS[i]: self.states[i].name for i in sorted(self.states)}

    def __reduce__(self) -> tuple[Callable[..., "Labels"], tuple[Any, ...]]:
        # processes send millions of these: as plain bytes and tuples it takes a tenth of the time
        found = bytes(self.states), bytes(self.states.values())
        return _restore, (*found, tuple([self.evidence[i] for i in self.states]), self.language)


def _restore(
    findings: bytes, states: bytes, evidence: tuple[tuple[Span, ...], ...], language: str
) -> Labels:
    return Labels(
        dict(zip(findings, [_STATES[state] for state in states], strict=True)),
        dict(zip(findings, evidence, strict=True)),
        language,
    )


class _Sentence:
    """A sentence seen before: its pieces, and what it says in a set of languages."""

    __slots__ = ("pieces", "said")

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.said: dict[int, list[Statement]] = {}


class Labeller:
    """Reads reports by rules. Sentences that come again are read once.

    Args:
        rules: the rule files; the shipped ones by default.
        language: read only this language; by default each report may be in any of them.

    Raises:
        UserError: the rules have no such language.
    """

    def __init__(self, rules: Rules | None = None, language: str | None = None) -> None:
        rules = shipped_rules() if rules is None else rules
        if language is not None and language not in rules.languages:
            raise UserError(
                f"there are no rules for language {language!r}; there are rules for "
                f"{', '.join(rules.languages)} (leave --language out to detect it)."
            )
        with no_collection():
            self._lexicon = Lexicon(rules, (language,) if language else rules.languages)
        interpreter = Interpreter(rules.common, self._lexicon.phrases.meanings)
        self._reader = Reader(self._lexicon, interpreter)
        self._not_text = [re.compile(pattern) for pattern in rules.common.not_report_text]
        self._implications = [
            (tuple(FINDINGS.index(name) for name in rule.when), FINDINGS.index(rule.then))
            for rule in rules.common.implications
        ]
        self._exclusive = [FINDINGS.index(name) for name in rules.common.exclusive]
        self._sentences: dict[str, _Sentence] = {}

    def label(self, text: str) -> Labels:
        """Read one report."""
        if not needs_repair(text):
            return self._read(text)
        fixed, positions = repair(text)
        labels = self._read(fixed)
        evidence = {
            i: tuple((positions[start], positions[end]) for start, end in spans)
            for i, spans in labels.evidence.items()
        }
        return Labels(labels.states, evidence, labels.language)

    def _read(self, text: str) -> Labels:
        for pattern in self._not_text:
            text = pattern.sub(lambda match: " " * len(match.group()), text)
        states: dict[int, State] = {}
        spans: dict[int, tuple[Span, ...]] = {}
        if ". " not in text and "\n" not in text:
            # one sentence: it seldom comes again in another report, so it is not kept
            pieces = cut(text, self._lexicon.chunks)
            language, spoken = self._lexicon.spoken(pieces.weight)
            _merge(self._reader.read(text, pieces, spoken), 0, states, spans)
        else:
            parts = self._split(text)
            sentences = [self._sentence(part) for _, part in parts]
            language, spoken = self._lexicon.spoken(sum([s.pieces.weight for s in sentences]))
            for (offset, part), sentence in zip(parts, sentences, strict=True):
                said = sentence.said.get(spoken)
                if said is None:
                    said = sentence.said[spoken] = self._reader.read(part, sentence.pieces, spoken)
                _merge(said, offset, states, spans)
        if states and max(states) >= KNOWN:
            self._recall(states, spans)
        for when, then in self._implications:
            if when[0] in states:
                self._imply(when, then, states, spans)
        return Labels(states, spans, language)

    def label_all(self, texts: Iterable[str]) -> list[Labels]:
        """Read many reports; equal texts are read once and share their result."""
        known: dict[str, Labels] = {}
        labelled: list[Labels] = []
        with no_collection():
            for text in texts:
                found = known.get(text)
                if found is None:
                    found = known[text] = self.label(text)
                labelled.append(found)
        return labelled

    def _split(self, text: str) -> list[tuple[int, str]]:
        """Sentences and where they start: parts that end in a full stop or at a new line.

        A full stop after a number, an abbreviation or two letters may end nothing.
        """
        parts: list[tuple[int, str]] = []
        start = 0
        for match in END_OF_SENTENCE.finditer(text):
            end, after = match.span()
            if text[end] == ".":
                last = text[max(start, end - 20) : end]
                words = last.replace(".", " ").replace("-", " ").rsplit(None, 1)
                if words and (len(words[-1]) < 3 or self._lexicon.words[words[-1]].abbreviation):
                    continue
            parts.append((start, text[start:end]))
            start = after
        parts.append((start, text[start:]))
        return parts

    def _sentence(self, part: str) -> _Sentence:
        found = self._sentences.get(part)
        if found is None:
            if len(self._sentences) >= _REMEMBERED:
                self._sentences.clear()
            found = self._sentences[part] = _Sentence(cut(part, self._lexicon.chunks))
        return found

    def _recall(self, states: dict[int, State], spans: dict[int, tuple[Span, ...]]) -> None:
        """A known rhythm is there unless the text says something of it, or another one is."""
        others = [i for i in self._exclusive if states.get(i) is State.present]
        for finding in [i for i in states if i >= KNOWN]:
            state, own = states.pop(finding), spans.pop(finding)
            if not others and finding - KNOWN not in states:
                states[finding - KNOWN], spans[finding - KNOWN] = state, own

    @staticmethod
    def _imply(
        when: Sequence[int], then: int, states: dict[int, State], spans: dict[int, tuple[Span, ...]]
    ) -> None:
        for finding in when:
            if finding not in states:
                return
        weakest = max(states[finding] for finding in when)
        if weakest is State.absent or then in states:
            return
        states[then] = weakest
        spans[then] = tuple(sorted({span for finding in when for span in spans[finding]}))


def _merge(
    said: Sequence[Statement],
    offset: int,
    states: dict[int, State],
    spans: dict[int, tuple[Span, ...]],
) -> None:
    """Add what a sentence says: the strongest state of a finding, and the words of that state."""
    for finding, state, own in said:
        before = states.get(finding)
        if before is not None and before < state:
            continue
        if offset:
            own = tuple([(start + offset, end + offset) for start, end in own])
        # spans of a statement are in order, and none stands twice
        spans[finding] = tuple(sorted({*spans[finding], *own})) if before is state else own
        states[finding] = state


@contextmanager
def no_collection() -> Iterator[None]:
    """Without looking for cycles meanwhile: labelling makes millions of objects, and no cycle.

    Python's collector looks through all of them again and again, and finds nothing: with it texts
    are read at 0.6 of the speed (README.md beside this file).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def shipped_labeller(language: str | None = None) -> Labeller:
    """A labeller with the shipped rules, compiled once in a process."""
    return Labeller(language=language)
