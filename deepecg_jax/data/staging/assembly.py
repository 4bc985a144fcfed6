"""From finished shards to a data set: duplicates left out, tables joined, shards named.

The same for one build, a resumed one, parts of several machines, or a Beam pipeline, so that all
of them end in the same bytes. Tables are read and written shard by shard.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.data.options import DUPLICATES, BuildOptions
from deepecg_jax.data.records import SPLITS, Reject
from deepecg_jax.data.shards.index import (
    INDEX_FILE,
    INDEX_SCHEMA,
    QUALITY_FILE,
    SUMMARY_FILE,
    TableWriter,
    write_rejects,
)
from deepecg_jax.data.staging.build_state import Staged
from deepecg_jax.data.staging.duplicates import Hashes, Place, find_duplicates
from deepecg_jax.data.staging.shard import Shard
from deepecg_jax.data.staging.summary import summarize
from deepecg_jax.data.staging.writing import QUALITY, WRITER_OPTIONS, read_side, side_path
from deepecg_jax.errors import UserError
from deepecg_jax.files import write_json
from deepecg_jax.signals.standard import site_profile

_QUALITY_SCHEMA = [
    pa.field("split", pa.string()),
    pa.field("position", pa.int64()),
    pa.field("signal_hash", pa.uint64()),
]


def assemble(
    staged: Staged,
    options: BuildOptions,
    folder: Path,
    shard_path: Callable[[str, int, int], Path],
) -> dict[str, list[Shard]]:
    """Write a whole data set but for TFDS' own files into ``folder``.

    Args:
        staged: all shards and what they are of.
        options: those the shards were built with.
        folder: an empty folder.
        shard_path: file of a split's shard, from its name, number and the number of shards.

    Returns:
        The final shards of each split that has any.

    Raises:
        UserError: nothing is left, because there was no recording or all were rejected.
    """
    state = staged.state
    shards = sorted(staged.shards, key=lambda shard: (SPLITS.index(shard.split), shard.number))
    rejects = [*staged.plan_rejects, *(reject for shard in shards for reject in shard.rejects)]
    copies = _copies(shards)
    counts = Counter({**state.counts, **copies.counts})
    if options[DUPLICATES] == "reject":
        rejects += copies.rejects
        dropped: dict[int, list[int]] = {}
        for number, row in copies.places:
            dropped.setdefault(number, []).append(row)
        for number, rows in dropped.items():
            shards[number] = replace(shards[number], dropped=tuple(rows))
    rejects.sort(key=lambda reject: (reject.path, reject.record_id))
    _refuse_nothing(staged, shards, rejects)
    splits = {}
    for split in SPLITS:
        mine = [shard for shard in shards if shard.split == split and shard.kept]
        if mine:  # shards left empty are not numbered
            splits[split] = [
                replace(shard, final=shard_path(split, number, len(mine)))
                for number, shard in enumerate(mine)
            ]
    counts.update(_write_tables(folder, splits))
    write_rejects(folder, rejects)
    _write_contract(folder, options)
    write_json(folder / "labels.json", list(state.labels))
    files = {}
    for shard in (shard for mine in splits.values() for shard in mine):
        final = _place(shard, staged.keep)
        files[final.name] = {"records": shard.kept, "bytes": final.stat().st_size}
    reasons = Counter(f"{reject.stage}: {reject.reason}" for reject in rejects)
    write_json(folder / SUMMARY_FILE, summarize(staged, folder, files, reasons, counts))
    return splits


def _write_contract(folder: Path, options: BuildOptions) -> None:
    """``signal.json``, and ``site_profile.json`` if there is one."""
    options.contract.save(folder)
    if options.profile is not None:
        site_profile.load(options.profile.path).save(folder / site_profile.FILE_NAME)


@dataclass
class _Copies:
    places: list[Place]
    rejects: list[Reject]
    counts: dict[str, int]


def _copies(shards: Sequence[Shard]) -> _Copies:
    """ECGs whose signal another one has: where they are, and what to say of them."""
    hashes = []
    for shard in shards:
        table = read_side(shard.path, ["signal_hash", "order"])
        signal, order = table["signal_hash"].to_numpy(), table["order"].to_numpy()
        hashes.append(Hashes(shard.split, signal, order))
    found = find_duplicates(hashes)
    columns = ["record_id", "patient_id", "path"]
    tables = {
        shard: read_side(shards[shard].path, columns)
        for shard in {shard for places in found.items() for shard, _ in places}
    }

    def told(place: Place) -> dict[str, str]:
        shard, row = place
        values = {column: tables[shard][column][row].as_py() for column in columns}
        return values | {"split": shards[shard].split}

    rejects: list[Reject] = []
    counts: Counter[str] = Counter()
    places = sorted(found)
    for place in places:
        copy, first = told(place), told(found[place])
        elsewhere = copy["split"] != first["split"]
        counts["duplicate_signals"] += 1
        counts["duplicate_signals_of_another_patient"] += copy["patient_id"] != first["patient_id"]
        counts["duplicate_signals_in_another_split"] += elsewhere
        where = f" of the {first['split']} split" if elsewhere else ""
        message = f"the signal equals that of {first['record_id']}{where}, which is kept"
        rejects.append(
            Reject(copy["path"], copy["record_id"], "check", "duplicate_signal", message)
        )
    return _Copies(places, rejects, {name: count for name, count in counts.items() if count})


def _refuse_nothing(staged: Staged, shards: Sequence[Shard], rejects: Sequence[Reject]) -> None:
    if any(shard.kept for shard in shards):
        return
    if not rejects:
        state = staged.state
        raise UserError(
            f"{state.request['source']} holds no recording that builder {state.name} knows."
        )
    (reason, count), *_ = Counter(reject.reason for reject in rejects).most_common(1)
    example = next(reject for reject in rejects if reject.reason == reason)
    raise UserError(
        f"All {len(rejects)} recordings were rejected, {count} of them for {reason!r} "
        f"(such as {example.record_id}: {example.message}); nothing was built."
    )


def _write_tables(folder: Path, splits: Mapping[str, Sequence[Shard]]) -> Counter[str]:
    """``index.parquet`` and ``quality.parquet``; gives what was noticed of the ECGs in them."""
    counts: Counter[str] = Counter()
    index = TableWriter(folder / INDEX_FILE, INDEX_SCHEMA)
    quality = TableWriter(folder / QUALITY_FILE, _quality_schema(splits))
    for shards in splits.values():
        position = 0
        for shard in shards:
            table = _kept(shard, read_side(shard.path))
            place = pa.array(np.arange(position, position + table.num_rows))
            at = table.column_names.index("position")
            table = table.set_column(at, "position", place)
            position += table.num_rows
            index.add(table)
            quality.add(table.rename_columns([n.removeprefix(QUALITY) for n in table.column_names]))
            noticed = table["counts"].combine_chunks().flatten()
            for each in noticed.value_counts().to_pylist():
                counts[each["values"]] += each["counts"]
        index.flush()  # a row group is of one split
        quality.flush()
    index.close()
    quality.close()
    return counts


def _quality_schema(splits: Mapping[str, Sequence[Shard]]) -> pa.Schema:
    schemas = []
    for shard in (shard for shards in splits.values() for shard in shards):
        schema = pq.read_schema(side_path(shard.path)).remove_metadata()
        schemas.append(pa.schema([f for f in schema if f.name.startswith(QUALITY)]))
    # a measure may be whole in one shard, broken in another, and unknown in a third
    measures = pa.unify_schemas(schemas, promote_options="permissive")
    return pa.schema(
        [*_QUALITY_SCHEMA, *(f.with_name(f.name.removeprefix(QUALITY)) for f in measures)]
    )


def _kept(shard: Shard, table: pa.Table) -> pa.Table:
    """The rows of a table of all a shard's ECGs that go into the data set."""
    if not shard.dropped:
        return table
    mask = np.ones(table.num_rows, bool)
    mask[list(shard.dropped)] = False
    return table.filter(pa.array(mask))


def _place(shard: Shard, keep: bool) -> Path:
    """Put a shard's file in its place: a link where the file system has them."""
    assert shard.final is not None
    if shard.dropped:
        _rewrite(shard, shard.final)
        return shard.final
    try:
        os.link(shard.path, shard.final)
    except OSError:  # another file system, or one without links
        if keep:
            shutil.copyfile(shard.path, shard.final)
        else:
            shard.path.replace(shard.final)
    return shard.final


def _rewrite(shard: Shard, final: Path) -> None:
    """Write the records of a shard that stay."""
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    dropped = set(shard.dropped)
    reader = ArrayRecordReader(str(shard.path))
    writer = ArrayRecordWriter(str(final), WRITER_OPTIONS)
    for row in range(reader.num_records()):
        if row not in dropped:
            writer.write(reader.read([row])[0])
    writer.close()
    reader.close()
