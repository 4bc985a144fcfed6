"""The items of a text to what they say of the findings."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from deepecg_jax.labelling.rules.body_sites import Target, share_sites, targets_of
from deepecg_jax.labelling.rules.context import apply_cues
from deepecg_jax.labelling.rules.items import Item, Kind, Sign
from deepecg_jax.labelling.rules.quantities import read_quantity
from deepecg_jax.labelling.rules.rule_files import CommonFile
from deepecg_jax.labelling.rules.scan import unpack
from deepecg_jax.labels.findings import FINDINGS

Span = tuple[int, int]


class State(IntEnum):
    """What a report says of a finding; a smaller number wins over a larger one."""

    present = 0
    uncertain = 1
    absent = 2


_REMEMBERED = 100_000


Statement = tuple[int, State, tuple[Span, ...]]
"""A finding (its position in ``FINDINGS``), its state and the words that say so.

A rhythm that is called known stands `KNOWN` further: what it says of this ECG depends on the other
rhythms of the report.
"""

KNOWN = len(FINDINGS)


class Interpreter:
    """Reads the items of a text by the rules that hold in every language."""

    def __init__(self, common: CommonFile, meanings: Sequence[tuple[int, Any]]) -> None:
        self._common = common
        self._meanings = meanings
        self._leads = {lead: site for site, leads in common.leads.items() for lead in leads}
        self._never_listed = frozenset(FINDINGS.index(name) for name in common.never_listed)
        self._known: dict[tuple[int, ...], list[Statement]] = {}
        self._items: dict[int, Item] = {}
        self._exclusive = frozenset(FINDINGS.index(name) for name in common.exclusive)
        self._persistent = frozenset(n for n, c in common.concepts.items() if c.persistent)

    def understand(self, part: tuple[int, ...]) -> list[Statement]:
        """What a part of a text says; spans are of tokens, from the part's first."""
        # the same items at the same distances mean the same: reports repeat themselves
        found = self._known.get(part)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
                self._items.clear()
            found = self._known[part] = self._understand(part)
        return found

    def measure(self, name: str, text: str, start: int, end: int) -> Iterator[Statement]:
        """What the value of a quantity says, whose name stands at [start, end) of the text."""
        for finding, state, stop in read_quantity(self._common.quantities[name], text, end):
            yield FINDINGS.index(finding), State[state], ((start, stop),)

    def _understand(self, part: Sequence[int]) -> list[Statement]:
        items = self._items
        clause = [items.get(packed) or self._item(packed) for packed in part]
        targets = targets_of(clause, self._leads)
        apply_cues(clause, targets, self._never_listed)
        share_sites(clause, targets)
        said: list[Statement] = []
        for target in targets.values():
            if target.item.kind != Kind.OTHER:
                parts = [*target.parts, *(cue for _, cue in target.cues)]
                spans = tuple(sorted({(part.first, part.last) for part in parts}))
                said += [(i, state, spans) for i, state in self._says(target)]
        return said

    def _item(self, packed: int) -> Item:
        code, first, last = unpack(packed)
        item = self._items[packed] = Item(*self._meanings[code], first, last)
        return item

    def _says(self, target: Target) -> list[tuple[int, State]]:
        """Findings that a target speaks of, with their states after its cues."""
        item = target.item
        past = item.kind == Kind.CONCEPT and item.value.concept in self._persistent
        effect = _effect(target, past)
        if effect is None:
            return []
        if item.kind == Kind.CONCEPT:
            return self._sited(item.value, target, effect)
        changed = [(finding, _change(State(state), effect)) for finding, state in item.value]
        known = effect != "no" and any(cue == "known" for cue, _ in target.cues)
        return [
            (finding + KNOWN * (known and finding in self._exclusive), state)
            for finding, state in changed
            if state is not None
        ]

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
        elif state is State.absent and concept.always:
            sites = set()  # an ST elevation may be there without an infarct
        elif state is State.absent and not sites:
            sites = set(concept.sites)  # "no ST elevation" denies it everywhere
        said += [(name, state) for site, name in concept.sites.items() if site in sites]
        return [(FINDINGS.index(name), state) for name, state in said]


def _effect(target: Target, persistent: bool) -> str | None:
    """``""``, ``maybe`` or ``no``; None if the statement is of another time.

    Of a denial and a mention of the past the one nearer to the statement counts: "compared with
    the previous ECG no AF" denies it, "no history of AF" says nothing of this ECG. An infarct of
    the past is still one.
    """
    effects = {effect for effect, _ in target.cues}
    if not effects.isdisjoint(("apart", "section")):
        return None
    if target.item.kind == Kind.CONCEPT and target.item.value.denied:
        effects.add("no")
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
