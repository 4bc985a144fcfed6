"""Guards that need the stored ECGs: the same signal twice, and labels with one class only.

Two ECGs are duplicates when their stored signals are equal in every sample, whatever their ids.
The same signal in two splits is a leak, so by default only one copy is kept: that of the test
split before validation before training, then the first in the source's order. Equal windows of one
recording are no duplicates. Copies that were scaled, filtered or shifted are not found.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deepecg_jax.data.records import SPLITS, PlannedRecord, Reject

if TYPE_CHECKING:
    from deepecg_jax.data.building import ShardResult

HASH = "signal_hash"
"""Column of ``quality.parquet``: equal texts, equal signals, in this and in other data sets."""
NOTICED = "noticed"
"""Column of ``quality.parquet``: what was repaired or noticed about the ECG, joined by ``|``."""


def check_duplicates(
    results: Sequence["ShardResult"], records: Iterable[PlannedRecord], rule: str
) -> tuple[list[Reject], dict[str, int]]:
    """Find equal signals; with rule ``reject`` take all copies but one out of their shards.

    The outcome is a function of the records alone, not of who wrote which shard. ``results`` are
    changed in place; an ECG without a hash (from a builder that measures nothing) is left alone.

    Returns:
        The rejects, and counts for the summary: ``duplicate_signals`` beyond the first copies,
        those of another patient, and those in another split than the copy that is kept.
    """
    place = {record.record_id: number for number, record in enumerate(records)}
    copies: dict[str, list[tuple[int, int, str, ShardResult, int]]] = {}
    for result in results:
        rank = -SPLITS.index(result.task.split)
        names = result.index.column("record_id").to_pylist()
        for row, (name, measures) in enumerate(zip(names, result.quality, strict=True)):
            if measures.get(HASH):
                source = name if name in place else name.rpartition(":w")[0]
                copy = (rank, place[source], name, result, row)
                copies.setdefault(measures[HASH], []).append(copy)
    paths = {record.record_id: record.path for result in results for record in result.task.records}
    rejects: list[Reject] = []
    counts: Counter[str] = Counter()
    drop: dict[int, set[int]] = {}
    for same in copies.values():
        if len(same) == 1:
            continue
        first, *others = sorted(same, key=lambda copy: copy[:3])
        others = [copy for copy in others if copy[1] != first[1]]
        patient = _patient(first)
        for copy in others:
            _, _, name, result, row = copy
            other_split = result.task.split != first[3].task.split
            counts["duplicate_signals"] += 1
            counts["duplicate_signals_of_another_patient"] += _patient(copy) != patient
            counts["duplicate_signals_in_another_split"] += other_split
            if rule == "reject":
                drop.setdefault(id(result), set()).add(row)
                where = f" of the {first[3].task.split} split" if other_split else ""
                message = f"the signal equals that of {first[2]}{where}, which is kept"
                path = paths.get(name) or paths.get(name.rpartition(":w")[0], "")
                rejects.append(Reject(path, name, "check", "duplicate_signal", message))
    for result in results:
        if id(result) in drop:
            _rewrite(result, drop[id(result)])
    return rejects, {name: count for name, count in counts.items() if count}


def one_class_labels(labels: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, list[str]]:
    """Labels of which no classifier can be judged: those never positive, never negative, unknown.

    Args:
        labels: name -> split -> numbers of ``positive``, ``negative`` and ``unknown`` ECGs.
    """
    found: dict[str, list[str]] = {"never_positive": [], "never_negative": [], "unknown": []}
    for name, splits in labels.items():
        positive = sum(split["positive"] for split in splits.values())
        negative = sum(split["negative"] for split in splits.values())
        if not positive and not negative:
            found["unknown"].append(name)
        elif not positive:
            found["never_positive"].append(name)
        elif not negative:
            found["never_negative"].append(name)
    return found


def one_class_note(found: Mapping[str, Sequence[str]], n_labels: int) -> str:
    """A sentence about the labels of :func:`one_class_labels`, "" if there are none."""
    names = [name for group in found.values() for name in group]
    if not names:
        return ""
    kinds = ", ".join(
        f"{len(group)} {kind.replace('_', ' ')}" for kind, group in found.items() if group
    )
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return (
        f"{len(names)} of {n_labels} labels have fewer than two classes ({kinds}), so that no "
        f"AUROC of them exists here: {shown}."
    )


def _patient(copy: tuple[int, int, str, "ShardResult", int]) -> Any:
    return copy[3].index.column("patient_id")[copy[4]].as_py()


def _rewrite(result: "ShardResult", rows: set[int]) -> None:
    """Write a shard again without some rows, in the same order of the others."""
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    from deepecg_jax.data.building import WRITER_OPTIONS

    path = Path(result.task.path)
    keep = [row for row in range(result.index.num_rows) if row not in rows]
    for row in rows:
        noticed = result.quality[row].get(NOTICED, "")
        result.counts.subtract(filter(None, noticed.split("|")))
    result.counts = +result.counts
    result.quality = [result.quality[row] for row in keep]
    result.index = result.index.take(pa.array(keep, pa.int64()))
    if not keep:
        path.unlink()
        return
    reader = ArrayRecordReader(str(path))
    kept = [reader.read([row])[0] for row in keep]
    reader.close()
    smaller = path.with_name(path.name + ".smaller")
    writer = ArrayRecordWriter(str(smaller), WRITER_OPTIONS)
    try:
        for example in kept:
            writer.write(example)
    finally:
        writer.close()
    os.replace(smaller, path)
