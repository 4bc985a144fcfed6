"""One shard: its examples made and written, and what is known of it in a file beside it.

A shard counts as finished when the file beside it is there, which is the last to be written and
appears at once: a process may be killed at any moment. It is a Parquet table with a row an ECG
(``SIDE_SCHEMA`` and the quality measures, named ``quality:...``), with the rejects and the size of
the shard in its footer, so that nothing of a shard needs to be held in memory.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from deepecg_jax.data.catalogue import load_builder_class
from deepecg_jax.data.options import BuildOptions
from deepecg_jax.data.records import Example, PlannedRecord, Reject
from deepecg_jax.data.shards.index import INDEX_SCHEMA, index_table
from deepecg_jax.data.shards.schema import decode, encode
from deepecg_jax.data.staging.duplicates import signal_hash
from deepecg_jax.data.staging.shard import Recipe, Shard

WRITER_OPTIONS = "group_size:1,zstd:1"
"""One ECG a chunk (random access); zstd level 1: 41 kB an ECG, written 3 times faster than at 3."""

QUALITY = "quality:"
SIDE_SCHEMA = pa.schema(
    [
        *INDEX_SCHEMA,
        ("signal_hash", pa.uint64()),
        ("order", pa.int64()),
        ("path", pa.string()),
        ("counts", pa.list_(pa.string())),
    ]
)
_FOOTER = b"deepecg_shard"


class MakesExamples(Protocol):
    """What shards need of a builder's class."""

    def examples(
        self, records: Sequence[PlannedRecord], options: BuildOptions, /
    ) -> Iterator[Example | Reject]:
        """Examples and rejects of records, in their order."""
        ...


class _Writer(Protocol):
    """An ArrayRecordWriter."""

    def write(self, record: bytes, /) -> object: ...


def side_path(path: Path) -> Path:
    """The file beside a shard."""
    return path.with_suffix(".parquet")


def write_shard(shard: Shard, recipe: Recipe, tick: Callable[[bool], None]) -> None:
    """Make the examples of one shard, write its file, read it back, and write the file beside it.

    ``tick`` is called once a record, with whether it was rejected. A shard without any example
    has no file. Several processes may write the same shard at once: each file appears whole.
    """
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    own = shard.path.with_name(f"{shard.path.name}.{uuid.uuid4().hex}")
    try:
        writer = ArrayRecordWriter(str(own), WRITER_OPTIONS)
        try:
            made = _write_examples(shard, recipe, writer, tick)
        finally:
            writer.close()
        rows = []
        if made.extras:
            reader = ArrayRecordReader(str(own))
            rows = [_row(reader.read([at])[0]) for at in range(reader.num_records())]
            reader.close()
        if len(rows) != len(made.extras):
            raise OSError(f"{own}: {len(made.extras)} ECGs were written but {len(rows)} read back")
        size = own.stat().st_size if rows else 0
        if rows:
            _settle(own, shard.path)
        shard = replace(shard, stored=len(rows), size=size, rejects=tuple(made.rejects))
        _write_side(shard, rows, made.extras)
    finally:
        own.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Extra:
    """What the features of an example do not say."""

    fold: int
    order: int
    path: str
    counts: list[str]
    quality: Mapping[str, float | bool]


@dataclass
class _Made:
    extras: list[_Extra]
    rejects: list[Reject]


def _write_examples(
    shard: Shard, recipe: Recipe, writer: _Writer, tick: Callable[[bool], None]
) -> _Made:
    planned = {r.record_id: (r, at) for r, at in zip(shard.records, shard.orders, strict=True)}
    made = _Made([], [])
    last = None
    builder: MakesExamples = load_builder_class(recipe.builder)
    for example in _on_one_thread(builder.examples(shard.records, recipe.options)):
        rejected = isinstance(example, Reject)
        name = example.record_id if rejected else example.features["record_id"]
        source = name if name in planned else name.rpartition(":w")[0]
        if source != last:  # several windows of one recording come one after another
            tick(rejected)
            last = source
        if rejected:
            made.rejects.append(example)
            continue
        record, order = planned[source]
        writer.write(encode(example.features))
        extra = _Extra(record.fold, order, record.path, [*example.counts], example.quality)
        made.extras.append(extra)
    return made


def _on_one_thread(examples: Iterator[Example | Reject]) -> Iterator[Example | Reject]:
    """The same examples, made without threads of BLAS.

    With another number of threads BLAS adds in another order, which moves a sample in some ECGs by
    a microvolt. Processes of a pool are limited as well before BLAS starts its threads.
    """
    with threadpool_limits(1, user_api="blas"):
        yield from examples


def _row(record: bytes) -> dict[str, Any]:
    row = decode(record)
    row["signal_hash"] = signal_hash(row.pop("signal"))
    return row


def _write_side(shard: Shard, rows: list[dict[str, Any]], extras: Sequence[_Extra]) -> None:
    pairs = zip(rows, extras, strict=True)
    table = index_table(shard.split, [row | {"fold": extra.fold} for row, extra in pairs])
    columns = {
        "signal_hash": [row["signal_hash"] for row in rows],
        "order": [extra.order for extra in extras],
        "path": [extra.path for extra in extras],
        "counts": [extra.counts for extra in extras],
    }
    for name, values in columns.items():
        field = SIDE_SCHEMA.field(name)
        table = table.append_column(field, pa.array(values, field.type))
    measures = dict.fromkeys(name for extra in extras for name in extra.quality)
    for name in measures:
        table = table.append_column(QUALITY + name, pa.array([e.quality.get(name) for e in extras]))
    footer = json.dumps(shard.footer, ensure_ascii=False)
    own = shard.path.with_name(f"{shard.path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(table.replace_schema_metadata({_FOOTER: footer}), own)
        _settle(own, side_path(shard.path))
    finally:
        own.unlink(missing_ok=True)


def _settle(own: Path, path: Path) -> None:
    """Give a written file its name; after a power failure it is whole or not there."""
    with own.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(own, path)


def finished(shard: Shard) -> Shard | None:
    """The shard as it was written; None unless all of it is there, of just these records."""
    try:
        footer = (pq.read_schema(side_path(shard.path)).metadata or {})[_FOOTER]
        values: Mapping[str, Any] = json.loads(footer)
        written = shard.written(values)
        there = shard.path.stat().st_size if written.size else 0
        whole = there == written.size and values["digest"] == shard.digest
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return None  # not written, or not by this version: it is written again
    return written if whole else None


def finished_shards(shards: Sequence[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Which shards are finished already, as they were written, and those that are left."""
    found = [(shard, finished(shard)) for shard in shards]
    done = [written for _, written in found if written is not None]
    return done, [shard for shard, written in found if written is None]


def read_side(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table beside a finished shard, a row an ECG."""
    return pq.read_table(side_path(path), columns=columns).replace_schema_metadata(None)
