"""The search for the largest batch, with compilers whose answers are known."""

from collections.abc import Callable

import pytest

from deepecg_jax.plan.search import CLOSE, MOST_TRIES, Largest, Tried, largest_batch

MEMORY = 16 * 2**30


def search(
    needed: Callable[[int], float], unit: int, start: int, tell: bool = True
) -> tuple[Largest, int]:
    """What is found, and how many of the tries were compiled to the end."""

    def try_batch(batch: int) -> Tried:
        assert batch > 0 and batch % unit == 0
        size = int(needed(batch))
        return Tried(batch, size <= MEMORY, size if tell or size <= MEMORY else None)

    found = largest_batch(try_batch, unit, MEMORY, start)
    return found, sum(one.fits for one in found.tried)


@pytest.mark.parametrize(
    ("needed", "best"),
    [
        (lambda b: 1e9 + 1e6 * b, int((MEMORY - 1e9) / 1e6)),
        (lambda b: 12e9 + 4e5 * b, int((MEMORY - 12e9) / 4e5)),
        (lambda b: 1e9 + 1e6 * b + 30 * b * b, 11_927),  # a contrast of all pairs
    ],
)
def test_few_are_compiled_to_the_end(needed: Callable[[int], float], best: int) -> None:
    found, full = search(needed, 8, 70_000)
    assert found.batch is not None and found.too_big is not None
    assert needed(found.batch) <= MEMORY < needed(found.too_big)
    assert found.batch >= (1 - 2 * CLOSE) * best
    assert full <= (3 if best == 11_927 else 2) and len(found.tried) <= 6


def test_a_guess_that_fits_is_raised() -> None:
    found, _ = search(lambda b: 1e6 * b, 4, 100)
    assert found.batch is not None and found.batch >= (1 - 2 * CLOSE) * MEMORY / 1e6


def test_nothing_fits() -> None:
    found, full = search(lambda b: MEMORY + 1e6 * b, 256, 10_000)
    assert found.batch is None and full == 0 and found.too_big == 256


def test_a_compiler_that_gives_no_bytes_is_asked_by_halves() -> None:
    found, _ = search(lambda b: 3e6 * b, 8, 40_000, tell=False)
    assert found.batch is not None and found.batch * 3e6 > 0.5 * MEMORY
    assert len(found.tried) <= MOST_TRIES


def test_one_unit_is_the_answer_where_two_do_not_fit() -> None:
    found, _ = search(lambda b: 0.6 * MEMORY * b / 256, 256, 100_000)
    assert (found.batch, found.too_big) == (256, 512)
