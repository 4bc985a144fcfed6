"""Which record is item i of the endless shuffled stream of a training?

A function of the seed and i alone: nothing is kept, so an order of ten million records takes no
memory, and any position is reached at once.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grain
import numpy as np
from grain.experimental import index_shuffle

_ROUNDS = 4  # of the block cipher that permutes; Grain's own number


@dataclass(frozen=True)
class Shuffle:
    """The order of one source: every pass a permutation of its own.

    Equal, draw by draw, to ``grain.MapDataset.source(...).seed(seed).shuffle().repeat()``, which
    takes more than twice as long for an item.
    """

    length: int
    seed: int

    @classmethod
    def of(cls, length: int, seed: int) -> "Shuffle":
        """The order of ``length`` records with a seed of the user's."""
        # how Grain makes the seed of a shuffle that comes one after `.seed(...)`
        made = np.random.SeedSequence([seed, 1]).generate_state(1, np.uint32)[0]
        return cls(length, int(made))

    def __getitem__(self, index: int) -> int:
        number, place = divmod(index, self.length)
        return index_shuffle(place, self.length - 1, (self.seed + number) % 2**32, _ROUNDS)


class Order:
    """The order of several sources, mixed.

    Args:
        lengths: records of each source.
        shares: share of the items drawn from each; they sum to 1.
        seed: source i is shuffled with ``seed + i``.
    """

    def __init__(self, lengths: Sequence[int], shares: Sequence[float], seed: int):
        self._shuffles = [Shuffle.of(length, seed + i) for i, length in enumerate(lengths)]
        self._mixed: Any = None
        if len(lengths) > 1:
            streams = [grain.MapDataset.source(cast(Any, _Stream(i))) for i in range(len(lengths))]
            self._mixed = grain.MapDataset.mix(streams, weights=list(shares))

    def __len__(self) -> int:
        return sys.maxsize if self._mixed is None else len(self._mixed)

    def parts(self, items: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Where ``items`` of the stream are: (source, positions in it, places among the items)."""
        if self._mixed is None:
            shuffle = self._shuffles[0]
            yield 0, np.array([shuffle[i] for i in items], np.int64), np.arange(len(items))
            return
        drawn = [self._mixed[i] for i in items]
        sources = np.array([source for source, _ in drawn])
        positions = np.array([self._shuffles[source][index] for source, index in drawn], np.int64)
        for source in np.unique(sources).tolist():
            places = np.flatnonzero(sources == source)
            yield source, positions[places], places


@dataclass(frozen=True)
class _Stream:
    """Item i of an endless source is (source, i)."""

    source: int

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.source, index
