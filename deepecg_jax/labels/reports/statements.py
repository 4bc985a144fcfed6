"""The items of a text to what they say of the findings."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.labels.reports.context import apply_cues
from deepecg_jax.labels.reports.items import OR, TARGETS, Item, Kind, Sign
from deepecg_jax.labels.reports.quantities import read_quantity
from deepecg_jax.labels.reports.scan import Tokens
from deepecg_jax.labels.reports.schema import CommonFile
from deepecg_jax.labels.reports.sites import Target, targets_of

Span = tuple[int, int]


class State(IntEnum):
    """What a report says of a finding; a smaller number wins over a larger one."""

    present = 0
    uncertain = 1
    absent = 2


class Statement(NamedTuple):
    """A finding (its position in ``FINDINGS``), its state and the words that say so."""

    finding: int
    state: State
    spans: tuple[Span, ...]


class Interpreter:
    """Reads the items of a text by the rules that hold in every language."""

    def __init__(self, common: CommonFile) -> None:
        self._common = common
        self._leads = {lead: site for site, leads in common.leads.items() for lead in leads}
        self._never_listed = frozenset(FINDINGS.index(name) for name in common.never_listed)
        self._persistent = frozenset(n for n, c in common.concepts.items() if c.persistent)

    def read(self, items: Sequence[Item], text: str, tokens: Tokens) -> list[Statement]:
        """All that the items of a text say, in their order."""
        said: list[Statement] = []
        for clause in _clauses(items):
            kinds = {item.kind for item in clause}
            if Kind.CUE in kinds or Kind.CONCEPT in kinds or _has_or(clause):
                self._read_clause(clause, tokens, said)
            else:
                for item in clause:  # the plain case: findings, nothing that changes them
                    if item.kind is Kind.FINDING:
                        span = (tokens.starts[item.first], tokens.ends[item.last - 1])
                        said += [Statement(i, State(state), (span,)) for i, state in item.value]
            if Kind.QUANTITY in kinds:
                self._read_quantities(clause, text, tokens, said)
        return said

    def _read_clause(self, clause: Sequence[Item], tokens: Tokens, said: list[Statement]) -> None:
        targets = targets_of(clause, self._leads)
        apply_cues(clause, targets, self._never_listed)
        for target in targets.values():
            if target.item.kind is Kind.OTHER:
                continue
            found = self._says(target)
            if found:
                parts = [*target.parts, *(cue for _, cue in target.cues)]
                spans = tuple((tokens.starts[p.first], tokens.ends[p.last - 1]) for p in parts)
                said += [Statement(finding, state, spans) for finding, state in found]

    def _read_quantities(
        self, clause: Sequence[Item], text: str, tokens: Tokens, said: list[Statement]
    ) -> None:
        for item in clause:
            if item.kind is Kind.QUANTITY:
                quantity = self._common.quantities[item.value]
                start, end = tokens.starts[item.first], tokens.ends[item.last - 1]
                for name, state, stop in read_quantity(quantity, text, end):
                    said.append(Statement(FINDINGS.index(name), State[state], ((start, stop),)))

    def _says(self, target: Target) -> list[tuple[int, State]]:
        """Findings that a target speaks of, with their states after its cues."""
        item = target.item
        past = item.kind is Kind.CONCEPT and item.value.concept in self._persistent
        effect = _effect(target, past)
        if effect is None:
            return []
        if item.kind is Kind.CONCEPT:
            return self._sited(item.value, target, effect)
        changed = [(finding, _change(State(state), effect)) for finding, state in item.value]
        return [(finding, state) for finding, state in changed if state is not None]

    def _sited(self, sign: Sign, target: Target, effect: str) -> list[tuple[int, State]]:
        concept = self._common.concepts[sign.concept]
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


def _has_or(clause: Sequence[Item]) -> bool:
    return any([item.kind is Kind.JOIN and item.value == OR for item in clause])


def _clauses(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Runs of items between boundaries that hold something to label."""
    start = 0
    for i in range(len(items) + 1):
        if i < len(items) and items[i].kind is not Kind.BOUNDARY:
            continue
        clause = items[start:i]
        start = i + 1
        if any([item.kind in TARGETS or item.kind is Kind.QUANTITY for item in clause]):
            yield clause


def _effect(target: Target, persistent: bool) -> str | None:
    """``""``, ``maybe`` or ``no``; None if the statement is of another time.

    Of a denial and a mention of the past the one nearer to the statement counts: "compared with
    the previous ECG no AF" denies it, "no history of AF" says nothing of this ECG. An infarct of
    the past is still one.
    """
    effects = {effect for effect, _ in target.cues}
    if "past" in effects and not persistent:
        near = min(target.cues, key=lambda cue: (_apart(cue[1], target.item), cue[0] == "past"))
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
