"""``summary.json``: what a build found, kept, left out and repaired."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.data.shards.index import INDEX_FILE, label_matrix
from deepecg_jax.data.staging.one_class import one_class_labels, one_class_note
from deepecg_jax.data.staging.state import BuildState


def summarize(
    state: BuildState,
    folder: Path,
    files: Mapping[str, Mapping[str, int]],
    rejects: Counter[str],
    counts: Mapping[str, int],
    workers: int,
    seconds: float,
    new: int,
) -> dict[str, Any]:
    """The contents of ``summary.json`` of the data set in ``folder``, read from its index.

    Args:
        state: what the data set is of.
        folder: where ``index.parquet`` is.
        files: file name of each shard -> ``records`` and ``bytes``.
        rejects: ``stage: reason`` -> how many.
        counts: what was noticed or repaired.
        workers: processes that wrote the shards.
        seconds: the time from plan to last shard.
        new: records read in that time; those of a build that was stopped before came earlier.
    """
    splits, labels = _describe_splits(folder, state.labels)
    one_class = one_class_labels(labels)
    note = one_class_note(one_class, len(labels))
    return {
        "schema": 1,
        "name": state.name,
        "version": state.version,
        "request": dict(state.request),
        "records": sum(split["records"] for split in splits.values()),
        "patients": sum(split["patients"] for split in splits.values()),
        "splits": splits,
        "notes": [*state.notes, *filter(None, [note])],
        "counts": dict(sorted(counts.items())),
        "rejects": {"total": rejects.total(), "by_reason": dict(rejects.most_common())},
        "labels": labels,
        "one_class_labels": one_class,
        "files": dict(files),
        "workers": workers,
        "seconds": round(seconds, 3),
        "ecg_per_s": round(new / seconds, 1) if seconds and new else None,
    }


def request_of(
    source: Path | None, options: Mapping[str, str], limit: int | None
) -> dict[str, Any]:
    """What was asked for; a second build with another request must not pass for the first."""
    return {
        "source": str(source.resolve()) if source else None,
        "options": dict(options),
        "limit": limit,
    }


def _describe_splits(
    folder: Path, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Each split described, and how often each label is what in it; one row group at a time."""
    splits: dict[str, Any] = {}
    labels: dict[str, dict[str, Any]] = {name: {} for name in names}
    with pq.ParquetFile(folder / INDEX_FILE) as file:
        groups: dict[str, list[int]] = {}
        for number in range(file.num_row_groups):  # each is of one split
            split = file.read_row_group(number, ["split"])["split"][0].as_py()
            groups.setdefault(split, []).append(number)
        for split, numbers in groups.items():
            people = file.read_row_groups(numbers, ["patient_id", "age", "sex", "fold"])
            splits[split] = _describe(people)
            totals = np.zeros((len(names), 3), np.int64)
            for number in numbers:
                matrix = label_matrix(file.read_row_group(number, ["labels"]), len(names))
                totals += np.stack([(matrix == value).sum(0) for value in (1, 0, -1)], 1)
            for name, (positive, negative, unknown) in zip(names, totals.tolist(), strict=True):
                labels[name][split] = {
                    "positive": positive,
                    "negative": negative,
                    "unknown": unknown,
                }
    return splits, labels


def _describe(index: pa.Table) -> dict[str, Any]:
    age = index.column("age").to_numpy(zero_copy_only=False)
    age = age[np.isfinite(age)]
    folds = [fold for fold in index.column("fold").unique().to_pylist() if fold is not None]
    sex = index.column("sex").value_counts().to_pylist()
    return {
        "records": index.num_rows,
        "patients": len(index.column("patient_id").unique()),
        "sex": dict(Counter({each["values"]: each["counts"] for each in sex}).most_common()),
        "age_known": int(age.size),
        "age_median": float(np.median(age)) if age.size else None,
        "folds": sorted(folds),
    }
