"""Reports to findings: `Labeller.label` reads one text, `Labeller.label_all` a table of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from deepecg_jax.errors import UserError
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.labels.reports.context import apply_cues
from deepecg_jax.labels.reports.folding import needs_repair, repair
from deepecg_jax.labels.reports.items import TARGETS, Item, Kind, Sign
from deepecg_jax.labels.reports.lexicon import Lexicon
from deepecg_jax.labels.reports.quantities import read_quantity
from deepecg_jax.labels.reports.scan import Scan, scan
from deepecg_jax.labels.reports.schema import Rules, shipped_rules
from deepecg_jax.labels.reports.sites import Target, targets_of


class State(IntEnum):
    """What a report says of a finding; a smaller number wins over a larger one."""

    present = 0
    uncertain = 1
    absent = 2


Span = tuple[int, int]


@dataclass(frozen=True)
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


_ENTRY = tuple[State, tuple[Span, ...]]


class Labeller:
    """Reads reports by rules.

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
        self._lexicon = Lexicon(rules, (language,) if language else rules.languages)
        common = rules.common
        self._leads = {lead: site for site, leads in common.leads.items() for lead in leads}
        self._never_listed = frozenset(FINDINGS.index(name) for name in common.never_listed)
        patterns = common.not_report_text
        self._not_text = re.compile("|".join(f"(?:{p})" for p in patterns)) if patterns else None
        self._persistent = frozenset(n for n, c in common.concepts.items() if c.persistent)
        self._implications = [
            (tuple(FINDINGS.index(name) for name in rule.when), FINDINGS.index(rule.then))
            for rule in common.implications
        ]

    def label(self, text: str) -> Labels:
        """Read one report."""
        if needs_repair(text):
            fixed, positions = repair(text)
            labels = self.label(fixed)
            evidence = {
                i: tuple((positions[start], positions[end]) for start, end in spans)
                for i, spans in labels.evidence.items()
            }
            return Labels(labels.states, evidence, labels.language)
        if self._not_text is not None:
            text = self._not_text.sub(lambda match: " " * len(match.group()), text)
        read = scan(text, self._lexicon)
        entries: dict[int, list[_ENTRY]] = {}
        for clause in _clauses(read.items):
            self._read_clause(clause, read, text, entries)
        self._imply(entries)
        states: dict[int, State] = {}
        evidence: dict[int, tuple[Span, ...]] = {}
        for finding, said in entries.items():
            state = min(state for state, _ in said)
            states[finding] = state
            spans = {span for other, found in said if other is state for span in found}
            evidence[finding] = tuple(sorted(spans))
        return Labels(states, evidence, read.language)

    def label_all(self, texts: Iterable[str]) -> list[Labels]:
        """Read many reports; equal texts are read once and share their result."""
        known: dict[str, Labels] = {}
        labelled: list[Labels] = []
        for text in texts:
            found = known.get(text)
            if found is None:
                found = known[text] = self.label(text)
            labelled.append(found)
        return labelled

    def _read_clause(
        self, clause: Sequence[Item], read: Scan, text: str, entries: dict[int, list[_ENTRY]]
    ) -> None:
        targets = targets_of(clause, self._leads)
        if targets:
            apply_cues(clause, targets, self._never_listed)
        for target in targets.values():
            for finding, state in self._says(target):
                parts = [*target.parts, *(cue for _, cue in target.cues)]
                spans = tuple((read.starts[p.first], read.ends[p.last - 1]) for p in parts)
                entries.setdefault(finding, []).append((state, spans))
        for item in clause:
            if item.kind is Kind.QUANTITY:
                quantity = self._lexicon.common.quantities[item.value]
                start, end = read.starts[item.first], read.ends[item.last - 1]
                for name, state, stop in read_quantity(quantity, text, end):
                    said = (State[state], ((start, stop),))
                    entries.setdefault(FINDINGS.index(name), []).append(said)

    def _says(self, target: Target) -> list[tuple[int, State]]:
        """Findings that a target speaks of, with their states after its cues."""
        item = target.item
        if item.kind is Kind.OTHER:
            return []
        past = item.kind is Kind.CONCEPT and item.value.concept in self._persistent
        effect = _effect(target, past)
        if effect is None:
            return []
        if item.kind is Kind.FINDING:
            return [
                (finding, state)
                for finding, said in item.value
                if (state := _change(State(said), effect)) is not None
            ]
        return self._sited(item.value, target, effect)

    def _sited(self, sign: Sign, target: Target, effect: str) -> list[tuple[int, State]]:
        concept = self._lexicon.common.concepts[sign.concept]
        state = {"": State.present, "maybe": State.uncertain, "no": State.absent}[effect]
        said = [(name, state) for name in concept.always]
        sites = target.sites
        if concept.acute:
            # an infarct: of today, or the scar of an old one, by its age
            if target.age == "acute" or (state is State.absent and target.age != "old"):
                said += [(name, state) for name in concept.acute]
            elif target.age == "maybe_acute" and state is not State.absent:
                said += [(name, State.uncertain) for name in concept.acute]
            if target.age == "acute":
                sites = set()
        elif state is State.absent and not sites:
            sites = set(concept.sites)  # "no ST elevation" denies it everywhere
        said += [(name, state) for site, name in concept.sites.items() if site in sites]
        return [(FINDINGS.index(name), state) for name, state in said]

    def _imply(self, entries: dict[int, list[_ENTRY]]) -> None:
        for when, then in self._implications:
            if then in entries or not all(i in entries for i in when):
                continue
            firm = [[e for e in entries[i] if e[0] is State.present] for i in when]
            if all(firm):
                spans = tuple(span for found in firm for _, own in found for span in own)
                entries[then] = [(State.present, spans)]


def _clauses(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Runs of items between boundaries that hold something to label."""
    start = 0
    for i in range(len(items) + 1):
        if i < len(items) and items[i].kind is not Kind.BOUNDARY:
            continue
        clause = items[start:i]
        start = i + 1
        if any(item.kind in TARGETS or item.kind is Kind.QUANTITY for item in clause):
            yield clause


def _effect(target: Target, persistent: bool) -> str | None:
    """``""``, ``maybe`` or ``no``; None if the statement is of another time.

    Of a denial and a mention of the past the one nearer to the statement counts: "compared with
    the previous ECG no AF" denies it, "no history of AF" says nothing of this ECG. An infarct of
    the past is still one.
    """
    effects = {effect for effect, _ in target.cues}
    if "past" in effects and not persistent:
        near = min(target.cues, key=lambda cue: _apart(cue[1], target.item))
        if near[0] == "past" or "no" not in effects:
            return None
    if "no" in effects:
        return "maybe" if "maybe" in effects else "no"
    return "maybe" if "maybe" in effects else ""


def _apart(cue: Item, item: Item) -> int:
    return max(cue.first - item.last, item.first - cue.last)


def _change(state: State, effect: str) -> State | None:
    """A phrase's own state after a denial or doubt; None if nothing is said then."""
    if effect == "":
        return state
    if state is State.absent:
        return None  # "no normal axis" does not say which way it deviates
    return State.absent if effect == "no" else State.uncertain
