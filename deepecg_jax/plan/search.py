"""The largest batch that fits, with few compilations."""

from collections.abc import Callable
from typing import NamedTuple

MOST_TRIES = 10
# a batch within this share of one that does not fit, or of the memory, is large enough
CLOSE = 0.05


class Tried(NamedTuple):
    """A batch, whether it fits, and the bytes a device that it needs (None: not known)."""

    batch: int
    fits: bool
    needed: int | None


class Largest(NamedTuple):
    """The largest batch known to fit (None: not even the smallest), the smallest known not to
    (None: none was met), and all that was tried, in order.
    """

    batch: int | None
    too_big: int | None
    tried: list[Tried]


def largest_batch(
    try_batch: Callable[[int], Tried], unit: int, memory: int, certainly_too_big: int
) -> Largest:
    """Search among the multiples of ``unit``.

    The compiler says quickly that a batch does not fit, and how much it would need, but takes its
    time with one that does. Memory grows in a line with the batch, so the search comes from above:
    two batches that do not fit give the line, the line a batch just below the limit, which is
    compiled to the end; the line is then corrected.

    Args:
        try_batch: compiles.
        unit: what a batch is a multiple of.
        memory: bytes of a device.
        certainly_too_big: where to begin.
    """
    tried: list[Tried] = []
    fits, too_big = 0, max(certainly_too_big // unit, 2)  # in units

    def attempt(units: int) -> Tried:
        nonlocal fits, too_big
        result = try_batch(units * unit)
        tried.append(result)
        if result.fits:
            fits = max(fits, units)
        else:
            too_big = min(too_big, units)
        return result

    first = attempt(too_big)
    while first.fits and len(tried) < MOST_TRIES:  # the caller's guess was none
        too_big = 4 * too_big
        first = attempt(too_big)
    while too_big - fits > 1 and len(tried) < MOST_TRIES:
        last = tried[-1]
        if fits and (too_big - fits <= CLOSE * fits or _full(tried, memory)):
            break
        guess = _guess(tried, memory, unit)
        if guess is None:
            guess = (fits + too_big) // 2
        # twice on the wrong side of the line: halve what is left instead
        if not fits < guess < too_big or (guess * unit, False) == (last.batch, last.fits):
            guess = (fits + too_big) // 2
        attempt(guess)
    refused = [one.batch for one in tried if not one.fits]
    return Largest(fits * unit or None, min(refused, default=None), tried)


def _full(tried: list[Tried], memory: int) -> bool:
    return any(
        one.fits and one.needed is not None and one.needed >= (1 - CLOSE) * memory for one in tried
    )


def _guess(tried: list[Tried], memory: int, unit: int) -> int | None:
    """Units just below where the line through the two nearest batches meets the memory; from one
    batch, a little above where it would if all of it grew with the batch, to have a second.
    """
    known = {one.batch: one.needed for one in tried if one.needed is not None}
    nearest = sorted(known, key=lambda batch: abs(known[batch] - memory))[:2]
    if not nearest:
        return None
    if len(nearest) == 1:
        batch = nearest[0]
        return max(int(1.2 * batch * memory / max(known[batch], 1)) // unit, 1)
    a, b = nearest
    slope = (known[a] - known[b]) / (a - b)
    if slope <= 0:
        return None
    limit = a + (memory - known[a]) / slope
    return max(int((1 - CLOSE / 2) * limit) // unit, 1)
