"""The order is Grain's, draw by draw, though its datasets are not asked for each item."""

import sys
import tracemalloc
from collections.abc import Sequence

import grain
import numpy as np
import pytest

from deepecg_jax.data.loading.order import Order


class Positions:
    """A source whose element i is (number, i)."""

    def __init__(self, number: int, length: int):
        self.number, self.length = number, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.number, index


def by_grain(lengths: Sequence[int], shares: Sequence[float], seed: int) -> grain.MapDataset:
    streams = [
        grain.MapDataset.source(Positions(i, n)).seed(seed + i).shuffle().repeat()
        for i, n in enumerate(lengths)
    ]
    return streams[0] if len(streams) == 1 else grain.MapDataset.mix(streams, weights=list(shares))


@pytest.mark.parametrize("seed", [0, 7, 2**31])
@pytest.mark.parametrize(
    ("lengths", "shares"),
    [
        ([1], [1.0]),
        ([17], [1.0]),
        ([100_003], [1.0]),
        ([40, 9], [0.7, 0.3]),
        ([5, 30, 11], [0.123, 0.6, 0.277]),
    ],
)
def test_it_is_grains(lengths, shares, seed) -> None:
    expected, order = by_grain(lengths, shares, seed), Order(lengths, shares, seed)
    items = [*range(150), 10**6, 10**6 + 1, 10**9 + 12345]
    found: list[tuple[int, int] | None] = [None] * len(items)
    for source, positions, places in order.parts(items):
        for position, place in zip(positions.tolist(), places.tolist(), strict=True):
            assert found[place] is None
            found[place] = source, position
    assert found == [expected[i] for i in items]


def test_ten_million_records_take_no_memory() -> None:
    tracemalloc.start()
    order = Order([10_000_000], [1.0], 0)
    ((_, positions, _),) = order.parts(range(5_000_000, 5_001_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.unique(positions)) == 1000 and positions.max() > 9_000_000
    assert peak < 500_000
    assert len(order) == sys.maxsize
