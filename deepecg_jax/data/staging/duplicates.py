"""The guard against one signal stored twice, under two names or in two splits.

Two ECGs are duplicates when their stored signals are equal in every sample, whatever their ids;
copies that were scaled, filtered or shifted are not found. The same signal in two splits is a leak,
so one copy is kept: that of the test split before validation before training, then the first in the
plan. Signals are compared by a hash that every shard keeps of its ECGs: among a million ECGs, two
different signals share one of 2^64 hashes with a chance of 3e-8.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepecg_jax.data.records import SPLITS

Place = tuple[int, int]
"""A shard, and a row in it."""


@dataclass(frozen=True)
class Hashes:
    """Of one shard's ECGs in their order: hashes uint64 (N,), positions in the plan int64 (N,)."""

    split: str
    signal: np.ndarray
    order: np.ndarray


def signal_hash(signal: np.ndarray) -> int:
    """A hash of a stored signal, int16 microvolts (2500, 12); the same on every machine."""
    samples = np.ascontiguousarray(signal, "<i2")
    # Processors have instructions for SHA-256: it is twice as fast as BLAKE2 there.
    return int.from_bytes(hashlib.sha256(samples.data).digest()[:8], "little")


def find_duplicates(shards: Sequence[Hashes]) -> dict[Place, Place]:
    """ECGs whose signal another recording has -> where the copy is that is kept.

    Windows of one recording may be alike. The memory is about 50 bytes an ECG.
    """
    if not shards:
        return {}
    signal = np.concatenate([shard.signal for shard in shards])
    order = np.concatenate([shard.order for shard in shards])
    lengths = [len(shard.signal) for shard in shards]
    rank = np.repeat([-SPLITS.index(shard.split) for shard in shards], lengths)
    by_signal = np.lexsort((np.arange(len(signal)), order, rank, signal))
    signal, order = signal[by_signal], order[by_signal]
    new = np.ones(len(signal), bool)
    new[1:] = signal[1:] != signal[:-1]
    first = np.maximum.accumulate(np.where(new, np.arange(len(signal)), 0))
    starts = np.concatenate([[0], np.cumsum(lengths)])

    def place(at: int) -> Place:
        shard = int(np.searchsorted(starts, at, "right")) - 1
        return shard, at - int(starts[shard])

    return {
        place(int(by_signal[at])): place(int(by_signal[first[at]]))
        for at in np.flatnonzero(order != order[first])
    }
