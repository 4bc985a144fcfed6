"""Which records go into which shard, as tasks that any process or machine can do alone.

Which records a shard holds depends only on the records, never on the number of processes or
machines or on who finishes first, so any way of running the tasks gives the same bytes.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from deepecg_jax.data.records import SPLITS, PlannedRecord
from deepecg_jax.data.splits import record_order

_PER_SHARD = 1024  # 1,024 ECGs are about 40 MB
_PER_SMALL_SHARD, _SMALL_SHARDS = 128, 16  # small data sets in several shards keep workers busy
_values = attrgetter(*(field.name for field in fields(PlannedRecord)))


@dataclass(frozen=True)
class ShardTask:
    """Records of one shard and where it goes; ``builder`` is the builder's Python file.

    ``path`` is the shard's file, only a name until its staging folder is known (``in_folder``);
    ``orders`` are the records' positions in the plan, ``digest`` stands for all that is planned
    about them.
    """

    builder: str
    options: Mapping[str, str]
    split: str
    number: int
    path: Path
    records: tuple[PlannedRecord, ...]
    orders: tuple[int, ...]
    digest: str


def divide(records: Sequence[PlannedRecord]) -> list[np.ndarray]:
    """Positions of the records of each shard: spread by a hash of their ids, int64 (records,)."""
    if not records:
        return []

    def key(position: int) -> bytes:
        name = records[position].record_id
        return record_order(name) + name.encode()

    ordered = np.array(sorted(range(len(records)), key=key), np.int64)
    small = min(math.ceil(len(ordered) / _PER_SMALL_SHARD), _SMALL_SHARDS)
    n_shards = max(math.ceil(len(ordered) / _PER_SHARD), small)
    ends = [round(len(ordered) * shard / n_shards) for shard in range(n_shards + 1)]
    return [ordered[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def make_tasks(
    records: Sequence[PlannedRecord], builder: str, options: Mapping[str, str]
) -> list[ShardTask]:
    """One task a shard, split by split."""
    tasks = []
    for split in SPLITS:
        orders = [order for order, record in enumerate(records) if record.split == split]
        for number, positions in enumerate(divide([records[order] for order in orders])):
            mine = tuple(orders[position] for position in positions)
            chosen = tuple(records[order] for order in mine)
            path = Path(shard_name(split, number))
            digest = digest_of(chosen, mine)
            tasks.append(ShardTask(builder, options, split, number, path, chosen, mine, digest))
    return tasks


def in_folder(tasks: Sequence[ShardTask], folder: Path) -> list[ShardTask]:
    """The same tasks with their shards in a staging folder."""
    return [replace(task, path=folder / task.path.name) for task in tasks]


def shard_name(split: str, number: int) -> str:
    """File name of a shard while its data set is not complete."""
    return f"{split}-{number:05d}.array_record"


def digest_of(records: Sequence[PlannedRecord], orders: Sequence[int]) -> str:
    """A hash of all that is planned about some records; equal on every machine."""
    digest = hashlib.blake2b(digest_size=16)
    for order, record in zip(orders, records, strict=True):
        values = _values(record)
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        texts = [None if isinstance(value, np.ndarray) else value for value in values]
        parts = [repr((order, *texts)).encode(), *(array.tobytes() for array in arrays)]
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
