"""What negation, uncertainty and history do to the statements of a clause.

In the manner of NegEx and ConText (Chapman et al., J Biomed Inform 34:301, 2001; Harkema et al.,
J Biomed Inform 42:839, 2009): a cue acts on the nearest statement on its side, unless a word that
ends its reach stands between, and goes on along a list ("no A, B or C"). Statements that are no
finding ("no P wave seen") take their cues too, so that these reach no further.
"""

from collections.abc import Mapping, Sequence

from deepecg_jax.labelling.rules.body_sites import Target
from deepecg_jax.labelling.rules.items import AND, COMMA, NOR, OR, SLASH, Cue, Item, Kind

_REACH_BEFORE = 8  # words between a cue and the statement after it
_REACH_AFTER = 5
_IN_LIST = 4  # words that no rule knows between two members of a list
_ALONG_AND = ("no", "apart")
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
        if _was_not_there(clause, i):
            continue
        before = max((t for t in order if t < i), default=None)
        after = min((t for t in order if t > i), default=None)
        if before is not None and _blocked(clause, before, i, _REACH_AFTER, stops=False):
            before = None
        if cue.direction == "contrast" and _contrasts(clause, i, before, found):
            continue  # "not A but B": it has denied A, and does not deny B
        if after is not None and (
            _blocked(clause, i, after, _REACH_BEFORE, stops=True)
            or (cue.effect != "section" and _has_own_object(clause, i, after))
        ):
            after = None
        forward = cue.direction in ("before", "contrast", "swap")
        if cue.direction == "either":
            forward = _looks_forward(clause, i, before, after, cue.effect)
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


def _has_own_object(clause: Sequence[Item], left: int, right: int) -> bool:
    """Whether a cue acts on words that no rule knows, before a comma: "no chest pain, LBBB"."""
    for i in range(left + 1, right):
        if clause[i].kind == Kind.JOIN and clause[i].value == COMMA:
            return _apart(clause, left, i) > sum(
                part.last - part.first for part in clause[left + 1 : i] if part.kind == Kind.JOIN
            )
    return False


def _was_not_there(clause: Sequence[Item], at: int) -> bool:
    """Whether a cue is one of "not seen" and "on the previous ECG": new, so nothing is denied."""
    for no, past in zip(clause[max(at - 1, 0) : at + 1], clause[at : at + 2], strict=False):
        if (
            no.kind == past.kind == Kind.CUE
            and (no.value.effect, no.value.direction) == ("no", "after")
            and past.value.effect == "past"
            and no.last == past.first
        ):
            return True
    return False


def _contrasts(
    clause: Sequence[Item], at: int, before: int | None, found: Mapping[int, Target]
) -> bool:
    return (
        before is not None
        and found[before].denied
        and not any(part.kind == Kind.JOIN for part in clause[before + 1 : at])
    )


def _looks_forward(
    clause: Sequence[Item], at: int, before: int | None, after: int | None, effect: str
) -> bool:
    """Whether a cue that may stand on either side belongs to what follows."""
    if before is None or after is None:
        return before is None
    if clause[at - 1].kind == Kind.JOIN:
        return True  # "T abnormal, probably ischaemia"
    if clause[at + 1].kind == Kind.JOIN:
        return False
    if effect == "no":
        return True  # "conduction: no LBBB", but "LBBB: no, RBBB"
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
        slash = joins == [SLASH] and _apart(clause, min(here, there), max(here, there)) == 1
        along = slash or AND in joins or NOR in joins
        if OR in joins or effect == "section" or (effect in _ALONG_AND and along):
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
