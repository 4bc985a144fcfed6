"""A shard, from plan to data set, and which records go into which.

Which records a shard holds depends only on the records, never on the number of processes or
machines or on who finishes first, so any way of writing the shards gives the same bytes.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.data.options import BuildOptions
from deepecg_jax.data.records import SPLITS, PlannedRecord, Reject
from deepecg_jax.data.splits import record_order

_PER_SHARD = 1024  # 1,024 ECGs are about 40 MB
_PER_SMALL_SHARD, _SMALL_SHARDS = 128, 16  # small data sets in several shards keep workers busy
_values = attrgetter(*(field.name for field in fields(PlannedRecord)))


@dataclass(frozen=True)
class Recipe:
    """What all shards of a data set are made by: the builder's Python file, and the options."""

    builder: str
    options: BuildOptions


@dataclass(frozen=True)
class Shard:
    """One shard; each stage of its life replaces some fields.

    *Named*: ``split``, ``number``, ``path`` (its file in the staging folder, only a name until
    that is known: :meth:`inside`) and ``digest``, which stands for all that is planned about its
    records. *Planned*: ``planned`` records, ``records``, and ``orders``, their positions in the
    plan. *Written* (:meth:`written`): ``stored`` ECGs, the ``size`` of the file in bytes (0 for a
    shard without any ECG, which has no file) and ``rejects``; the records are let go. *Kept*:
    ``dropped`` are rows that do not go into the data set. *Final*: ``final`` is its file there.
    """

    split: str
    number: int
    path: Path
    digest: str
    planned: int = 0
    records: tuple[PlannedRecord, ...] = ()
    orders: tuple[int, ...] = ()
    stored: int = 0
    size: int = 0
    rejects: tuple[Reject, ...] = ()
    dropped: tuple[int, ...] = ()
    final: Path | None = None

    @property
    def kept(self) -> int:
        """ECGs that go into the data set."""
        return self.stored - len(self.dropped)

    def inside(self, folder: Path) -> "Shard":
        """The same shard in a staging folder."""
        return replace(self, path=folder / self.path.name)

    def written(self, footer: Mapping[str, Any]) -> "Shard":
        """The shard with what its footer says; KeyError or TypeError where that is no footer."""
        return replace(
            self,
            planned=footer["planned"],
            stored=footer["records"],
            size=footer["bytes"],
            rejects=tuple(Reject(**reject) for reject in footer["rejects"]),
            records=(),
            orders=(),
        )

    @property
    def footer(self) -> dict[str, Any]:
        """What the file beside a written shard says of it."""
        return {
            "digest": self.digest,
            "planned": self.planned,
            "records": self.stored,
            "bytes": self.size,
            "rejects": [asdict(reject) for reject in self.rejects],
        }


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


def plan_shards(records: Sequence[PlannedRecord]) -> list[Shard]:
    """All shards of a data set, split by split."""
    shards = []
    for split in SPLITS:
        orders = [order for order, record in enumerate(records) if record.split == split]
        for number, positions in enumerate(divide([records[order] for order in orders])):
            mine = tuple(orders[position] for position in positions)
            chosen = tuple(records[order] for order in mine)
            path, digest = Path(shard_name(split, number)), digest_of(chosen, mine)
            shards.append(Shard(split, number, path, digest, len(chosen), chosen, mine))
    return shards


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
