"""Token ids to probabilities, in batches of a few fixed shapes.

A batch is as long as its longest text rounded up to one of `LENGTHS`, so few programs are compiled
and little is computed on padding: texts are sorted by length first, and put back in order after.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier

LENGTHS = (32, 64, 128, 256, 512)
TOKENS = 8192
"""Tokens of a batch on one device; the rows of a batch follow from its length."""


class BertScorer:
    """Runs a classifier over any number of texts.

    Args:
        config: the classifier.
        batches: sharding of the rows of a batch; all local devices by default.
        tokens: tokens of a batch on one device.
    """

    def __init__(
        self, config: BertConfig, batches: NamedSharding | None = None, tokens: int = TOKENS
    ):
        self.config = config
        self._lengths = bucket_lengths(config.max_position_embeddings)
        self._batches = _local_rows() if batches is None else batches
        self._parts = self._batches.num_devices
        self._tokens = tokens
        self._compiled: set[tuple[int, int]] = set()
        graph = nnx.split(nnx.eval_shape(lambda: BertClassifier(config, jax.random.key(0))))[0]

        def run(params: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            mask = jnp.arange(ids.shape[1])[None, :] < lengths[:, None]
            return jax.nn.sigmoid(nnx.merge(graph, params)(ids, mask))

        whole = NamedSharding(self._batches.mesh, PartitionSpec())
        self._run = jax.jit(run, out_shardings=whole)
        self._whole = whole

    def place(self, params: Any) -> Any:
        """The parameters, once, on every device that scores."""
        return jax.device_put(params, self._whole)

    def __call__(
        self,
        params: Any,
        tokens: Sequence[np.ndarray],
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Probabilities (N, C) float32 of N texts.

        params: of a `BertClassifier`, on the devices (see `place`).
        tokens: (n,) int32 each.
        progress: called with the number of texts that are done.
        """
        scores = np.zeros((len(tokens), len(self.config.labels)), np.float32)
        lengths = np.array([len(own) for own in tokens], np.int32)
        waiting: list[tuple[np.ndarray, jax.Array]] = []
        for rows, size, length in self._plan(lengths):
            ids = np.zeros((size, length), np.int32)
            for place, row in enumerate(rows):
                ids[place, : lengths[row]] = tokens[row]
            counts = np.ones(size, np.int32)  # a row without any token would be NaN
            counts[: len(rows)] = lengths[rows]
            inputs = jax.device_put((ids, counts), self._batches)
            with jax.default_matmul_precision("highest"):
                waiting.append((rows, self._run(params, *inputs)))
            if len(waiting) > 2:  # the host stays ahead of the device, but not for ever
                self._collect(waiting.pop(0), scores, progress)
        for one in waiting:
            self._collect(one, scores, progress)
        return scores

    @staticmethod
    def _collect(
        one: tuple[np.ndarray, jax.Array],
        scores: np.ndarray,
        progress: Callable[[int], None] | None,
    ) -> None:
        rows, result = one
        scores[rows] = np.asarray(result)[: len(rows)]
        if progress is not None:
            progress(len(rows))

    def _plan(self, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
        """(texts, rows of the batch, its length), short texts first.

        What does not fill a batch of one length goes to the next; only the last is not full.
        """
        order = np.argsort(lengths, kind="stable")
        ends = np.searchsorted(lengths[order], self._lengths, side="right")
        start = 0
        for length, end in zip(self._lengths, ends.tolist(), strict=True):
            full = rows_of(length, self._tokens, self._parts)
            while end - start >= full:
                yield self._noted(order[start : start + full], full, length)
                start += full
            if end < len(order) or start == end:
                continue
            # few texts: the next power of two, so that any number needs few compilations
            size = self._parts * (1 << (-(-(end - start) // self._parts) - 1).bit_length())
            if (length, full) in self._compiled:
                size = full
            yield self._noted(order[start:], size, length)
            start = end

    def _noted(self, rows: np.ndarray, size: int, length: int) -> tuple[np.ndarray, int, int]:
        self._compiled.add((length, size))
        return rows, size, length


def bucket_lengths(longest: int) -> tuple[int, ...]:
    """Lengths of batches for texts of up to ``longest`` tokens."""
    last = min(longest, LENGTHS[-1])
    return (*(length for length in LENGTHS if length < last), last)


def rows_of(length: int, tokens: int, parts: int) -> int:
    """Rows of a full batch of a length: a power of two times the number of devices."""
    return parts * (1 << max(tokens // length, 1).bit_length() - 1)


def _local_rows() -> NamedSharding:
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    return NamedSharding(mesh, PartitionSpec("data"))
