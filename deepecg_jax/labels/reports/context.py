"""What negation, uncertainty and history do to the statements of a clause.

In the manner of NegEx and ConText (Chapman et al., J Biomed Inform 34:301, 2001; Harkema et al.,
J Biomed Inform 42:839, 2009): a cue acts on the nearest statement on its side, unless a word that
ends its reach stands between, and goes on along a list ("no A, B or C"). Statements that are no
finding ("no P wave seen") take their cues too, so that these reach no further.
"""

from collections.abc import Mapping, Sequence

from deepecg_jax.labels.reports.items import AND, OR, Cue, Item, Kind
from deepecg_jax.labels.reports.sites import Target

_REACH_BEFORE = 8  # words between a cue and the statement after it
_REACH_AFTER = 5
_IN_LIST = 4  # words that no rule knows between two members of a list
_TRANSPARENT = frozenset({Kind.SITE, Kind.LEADS, Kind.AGE, Kind.LEAD_WORD, Kind.PLACE})


def apply_cues(
    clause: Sequence[Item], found: Mapping[int, Target], never_listed: frozenset[int]
) -> None:
    """Give each target the cues that act on it.

    Args:
        clause: the items between two boundaries.
        found: its targets by position.
        never_listed: findings that a list does not carry a negation to (sinus rhythm).
    """
    order = sorted(found)
    for i, item in enumerate(clause):
        if item.kind != Kind.CUE:
            continue
        cue: Cue = item.value
        before = max((t for t in order if t < i), default=None)
        after = min((t for t in order if t > i), default=None)
        if before is not None and _blocked(clause, before, i, _REACH_AFTER, stops=False):
            before = None
        if after is not None and _blocked(clause, i, after, _REACH_BEFORE, stops=True):
            after = None
        forward = cue.direction == "before"
        if cue.direction == "either":
            forward = _looks_forward(clause, i, before, after)
        start = after if forward else before
        if start is None and cue.effect == "maybe" and _adjacent(clause, before, i):
            start, forward = before, False  # "septal infarct possible"
        if start is None:
            continue
        for reached in _along(clause, start, forward, cue.effect, order, found, never_listed):
            found[reached].cues.append((cue.effect, item))
    _alternatives(clause, order, found)


def _apart(clause: Sequence[Item], left: int, right: int) -> int:
    """Words between two items that are neither sites nor ages."""
    known = sum(
        part.last - part.first for part in clause[left + 1 : right] if part.kind in _TRANSPARENT
    )
    return clause[right].first - clause[left].last - known


def _adjacent(clause: Sequence[Item], before: int | None, at: int) -> bool:
    return before is not None and _apart(clause, before, at) == 0


def _blocked(clause: Sequence[Item], left: int, right: int, reach: int, stops: bool) -> bool:
    stopped = stops and any(part.kind == Kind.STOP for part in clause[left + 1 : right])
    return stopped or _apart(clause, left, right) > reach


def _looks_forward(clause: Sequence[Item], at: int, before: int | None, after: int | None) -> bool:
    """Whether a cue that may stand on either side belongs to what follows."""
    if before is None or after is None:
        return before is None
    if clause[at - 1].kind == Kind.JOIN:
        return True  # "T abnormal, probably ischaemia"
    if clause[at + 1].kind == Kind.JOIN:
        return False
    return _apart(clause, before, at) > _apart(clause, at, after)


def _along(
    clause: Sequence[Item],
    start: int,
    forward: bool,
    effect: str,
    order: Sequence[int],
    found: Mapping[int, Target],
    never_listed: frozenset[int],
) -> list[int]:
    """The target a cue acts on and the members of its list that it goes on to."""
    at = order.index(start)
    step = 1 if forward else -1
    reached, waiting = [start], list[int]()
    while 0 <= at + step < len(order):
        here, there = order[at], order[at + step]
        between = clause[min(here, there) + 1 : max(here, there)]
        joins = [part.value for part in between if part.kind == Kind.JOIN]
        if (
            not joins
            or any(part.kind in (Kind.STOP, Kind.CUE) for part in between)
            or _apart(clause, min(here, there), max(here, there)) - len(joins) > _IN_LIST
        ):
            break
        target = found[there].item
        if target.kind == Kind.FINDING and any(i in never_listed for i, _ in target.value):
            break
        waiting.append(there)
        # a comma alone may end the list; only a later "or" (or "and", after a negation) says so
        if OR in joins or (AND in joins and effect == "no"):
            reached, waiting = reached + waiting, []
        elif AND in joins:
            break
        at += step
    return reached


def _alternatives(
    clause: Sequence[Item], order: Sequence[int], found: Mapping[int, Target]
) -> None:
    """ "A or B" says that neither is certain."""
    for left, right in zip(order, order[1:], strict=False):
        between = clause[left + 1 : right]
        ors = [part for part in between if part.kind == Kind.JOIN and part.value == OR]
        # "sinus rhythm, no premature or ...": the list that has the "or" begins after the first
        if any(part.kind in (Kind.CUE, Kind.STOP) for part in between):
            continue
        if not ors or _apart(clause, left, right) > _IN_LIST:
            continue
        for target in (found[left], found[right]):
            if not any(effect == "no" for effect, _ in target.cues):
                target.cues.append(("maybe", ors[0]))
