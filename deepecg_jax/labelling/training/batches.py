"""Batches of reports of similar length; which texts a step reads is a function of (seed, step)."""

from collections.abc import Iterator, Sequence

import numpy as np

_BATCHES = 32  # that are sorted by length together


class ReportBatches:
    """Endless shuffled batches.

    Every pass over the texts is shuffled anew; of each 32 batches' worth of texts those that round
    up to the same of ``lengths`` share a batch, and the batches come in random order. So few
    programs are compiled and little is computed on padding. Texts are not sorted any further:
    short reports say other things than long ones, and batches of one kind teach badly.

    Args:
        tokens: token ids of each text, (n,) int32.
        labels: (N, C) int8: 1, 0, -1 unknown.
        batch: rows of a batch, over all hosts.
        lengths: allowed lengths of a batch, ascending; the last holds every text.
        seed: of the order.
    """

    def __init__(
        self,
        tokens: Sequence[np.ndarray],
        labels: np.ndarray,
        batch: int,
        lengths: Sequence[int],
        seed: int,
    ):
        self._tokens, self._labels, self._batch = tokens, labels, batch
        self._sizes = np.array([len(own) for own in tokens], np.int32)
        self._lengths, self._seed = np.array(lengths), seed
        self._buckets = np.searchsorted(self._lengths, self._sizes)

    def __call__(
        self, step: int, rows: np.ndarray | slice = slice(None)
    ) -> Iterator[dict[str, np.ndarray]]:
        """Batches from ``step`` on: ``ids`` (B, N), ``lengths`` (B,), ``labels`` (B, C).

        rows: of each batch those that are read here.
        """
        while True:
            group, first = divmod(step, _BATCHES)
            for texts in self.group(group)[first:]:
                yield self._gather(texts, rows)
                step += 1

    def group(self, number: int) -> np.ndarray:
        """Texts of the 32 batches of a group, (32, B)."""
        size, total = _BATCHES * self._batch, len(self._tokens)
        places = np.arange(number * size, (number + 1) * size)
        epochs = range(int(places[0]) // total, int(places[-1]) // total + 1)
        orders = {epoch: self._random(0, epoch).permutation(total) for epoch in epochs}
        rows = np.array([orders[place // total][place % total] for place in places.tolist()])
        by_length = rows[np.argsort(self._buckets[rows], kind="stable")]
        batches = by_length.reshape(_BATCHES, self._batch)
        return batches[self._random(1, number).permutation(_BATCHES)]

    def _random(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, kind, number))

    def _gather(self, texts: np.ndarray, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        length = int(self._lengths[self._buckets[texts].max()])
        own = texts[rows]
        ids = np.zeros((len(own), length), np.int32)
        for place, row in enumerate(own):
            ids[place, : self._sizes[row]] = self._tokens[row]
        return {"ids": ids, "lengths": self._sizes[own], "labels": self._labels[own]}
