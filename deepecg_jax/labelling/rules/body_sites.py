"""Where a sign is: sites, leads and ages of a statement, attached to the signs they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepecg_jax.labelling.rules.items import AND, COMMA, OR, TARGETS, Cue, Item, Kind, Sign

_NEAR = 3  # words between a lead list and the sign before it: "ST depression seen in V4"
_LINKS = frozenset({Kind.SITE, Kind.LEADS, Kind.JOIN, Kind.AGE, Kind.CUE, Kind.PLACE})


@dataclass(slots=True)
class Target:
    """A finding, sign or other statement of a clause, with all that was said about it."""

    item: Item
    sites: set[str] = field(default_factory=set)
    age: str = ""
    parts: list[Item] = field(default_factory=list)
    cues: list[tuple[str, Item]] = field(default_factory=list)

    @property
    def denied(self) -> bool:
        """Whether a cue denies it."""
        return any(effect == "no" for effect, _ in self.cues)

    @property
    def sited(self) -> bool:
        """Whether it needs a site."""
        return self.item.kind == Kind.CONCEPT


def targets_of(clause: Sequence[Item], leads: Mapping[str, str]) -> dict[int, Target]:
    """Targets of a clause by their position in it, with their sites and ages.

    Args:
        clause: the items between two boundaries.
        leads: lead -> its site; leads without a site (aVR) are not in it.
    """
    found: dict[int, Target] = {}
    any_sited = False
    for i, item in enumerate(clause):
        if item.kind in TARGETS:
            found[i] = Target(item, parts=[item])
            if item.kind == Kind.CONCEPT:
                any_sited = True
                sign: Sign = item.value
                found[i].sites = set(sign.sites)
                found[i].age = sign.age
    if not any_sited:
        return found
    for i, item in enumerate(clause):
        if item.kind == Kind.AGE:
            _attach_age(clause, i, found)
        elif item.kind == Kind.SITE or item.kind == Kind.LEADS:
            owner = _owner(clause, i, found)
            if owner is not None and not _excepted(clause, i, owner):
                owner.sites |= (
                    item.value
                    if item.kind == Kind.SITE
                    else {leads[lead] for lead in item.value if lead in leads}
                )
                owner.parts.append(item)
    return found


def _around(at: int, found: Mapping[int, Target]) -> tuple[int | None, int | None]:
    before = None
    for i in found:  # in their order
        if i > at:
            return before, i
        if i < at:
            before = i
    return before, None


def _owner(clause: Sequence[Item], at: int, found: Mapping[int, Target]) -> Target | None:
    """What a site or a list of leads belongs to."""
    before, after = _around(at, found)
    if before is None or after is None:
        index = before if after is None else after
        return None if index is None else found[index]
    item = clause[at]
    apart_before = item.first - clause[before].last
    apart_after = clause[after].first - item.last
    if item.kind == Kind.LEADS:
        joined = any(part.kind == Kind.JOIN for part in clause[at + 1 : after])
        close = apart_after <= 1 and apart_before > _NEAR and not joined
        return found[after] if close else found[before]
    # "in inferior and lateral leads": belongs to what stands before
    first, last = _chain(clause, at)
    placed = first > 0 and clause[first - 1].kind == Kind.PLACE
    named = last + 1 < len(clause) and clause[last + 1].kind == Kind.LEAD_WORD
    if placed or named:
        return found[before]
    linked = all(part.kind in _LINKS for part in clause[at + 1 : after])
    aged = any(part.kind in (Kind.AGE, Kind.CUE) for part in clause[at + 1 : after])
    if apart_before <= 1 and aged:
        return found[before]  # "infarct inferior old, ST depression"
    return found[after] if linked and apart_after <= max(apart_before, _NEAR) else found[before]


def _excepted(clause: Sequence[Item], at: int, owner: Target) -> bool:
    """Whether a site is one that the sign before it is not at: "in V2 and V3, not in V5"."""
    while at > 0 and clause[at - 1].kind in (Kind.SITE, Kind.LEADS, Kind.JOIN, Kind.PLACE):
        at -= 1
    if at == 0 or clause[at - 1].kind != Kind.CUE or clause[at - 1].first < owner.item.first:
        return False
    cue: Cue = clause[at - 1].value
    return cue.effect == "no" and cue.direction == "before"


def _chain(clause: Sequence[Item], at: int) -> tuple[int, int]:
    """First and last item of the list of sites around a site."""
    first = last = at
    while first > 0 and clause[first - 1].kind in (Kind.SITE, Kind.JOIN):
        first -= 1
    while last + 1 < len(clause) and clause[last + 1].kind in (Kind.SITE, Kind.JOIN):
        last += 1
    return first, last


def _attach_age(clause: Sequence[Item], at: int, found: Mapping[int, Target]) -> None:
    before, after = _around(at, found)
    item = clause[at]
    apart_before = apart_after = 1000
    if before is not None and found[before].sited:
        comma = at > 0 and clause[at - 1].kind == Kind.JOIN and clause[at - 1].value == COMMA
        apart_before = item.first - clause[before].last + (2 if comma else 0)
    if after is not None and found[after].sited:
        linked = all(part.kind in _LINKS for part in clause[at + 1 : after])
        apart_after = clause[after].first - item.last if linked else 1000
    if min(apart_before, apart_after) > 6:
        return
    owner = found[before if apart_before <= apart_after else after]  # type: ignore[index]
    if not owner.age:
        owner.age = item.value
        owner.parts.append(item)


def share_sites(clause: Sequence[Item], found: Mapping[int, Target]) -> None:
    """Signs joined by "and", "or", a comma share the site that only one of them names.

    A sign that is denied shares with no other: "no Q waves, ST elevation in V2". What is no sign
    ("ST elevation and T wave abnormality in V2") shares with one that "and" or "or" joins.
    """
    order = sorted(found)
    pairs = list[tuple[Target, Target]]()
    for a, b in zip(order, order[1:], strict=False):
        left, right = found[a], found[b]
        if not left.sited:
            continue
        between = clause[a + 1 : b]
        joins = {part.value for part in between if part.kind == Kind.JOIN}
        swapped = any(p.kind == Kind.CUE and p.value.direction == "swap" for p in between)
        if any(part.kind == Kind.STOP for part in between):
            continue
        alike = left.denied == right.denied and joins and (right.sited or joins & {AND, OR})
        if alike or swapped:
            pairs.append((left, right))
    for left, right in [*reversed(pairs), *((b, a) for a, b in pairs)]:
        if not left.sites and right.sites:
            left.sites = set(right.sites)
            left.parts += [part for part in right.parts if part.kind in (Kind.SITE, Kind.LEADS)]
