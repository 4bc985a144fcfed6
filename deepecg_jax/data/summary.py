"""``summary.json``: what a build found, kept, left out and repaired."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from deepecg_jax.data.guards import one_class_labels, one_class_note
from deepecg_jax.data.records import Plan, Reject
from deepecg_jax.errors import UserError

if TYPE_CHECKING:
    from deepecg_jax.data.builder import EcgBuilder
    from deepecg_jax.data.building import ShardResult

SUMMARY_FILE = "summary.json"


def write_json(path: Path, values: Any) -> None:
    """Write JSON that people can read."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a data set; UserError when it is absent or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; build the data set again.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no JSON ({error}); build the data set again.") from error


def label_matrix(index: pa.Table, n_labels: int) -> np.ndarray:
    """Labels of an index table: int8 (number of ECGs, n_labels).

    Raises UserError if a row has another number of labels.
    """
    column = index.column("labels").combine_chunks()
    values = np.asarray(column.flatten(), np.int8)
    lengths = np.asarray(column.value_lengths())
    if (lengths != n_labels).any():
        raise UserError(
            f"index.parquet has rows with {lengths[lengths != n_labels][0]} labels, but "
            f"labels.json names {n_labels}; build the data set again."
        )
    return values.reshape(-1, n_labels)


def summarize(
    builder: "EcgBuilder",
    plan: Plan,
    shards: Mapping[str, Sequence["ShardResult"]],
    rejects: Sequence[Reject],
    counts: Mapping[str, int],
    seconds: float,
) -> dict[str, Any]:
    """The contents of ``summary.json``; ``seconds`` is the time from plan to last shard."""
    names = builder.labels
    splits, labels, files = {}, {name: {} for name in names}, {}
    for split, results in shards.items():
        index = pa.concat_tables([result.index for result in results])
        splits[split] = _describe(index)
        matrix = label_matrix(index, len(names))
        for name, column in zip(names, matrix.T, strict=True):
            labels[name][split] = {
                "positive": int((column == 1).sum()),
                "negative": int((column == 0).sum()),
                "unknown": int((column == -1).sum()),
            }
        for result in results:
            path = Path(result.task.path)
            files[path.name] = {"records": result.index.num_rows, "bytes": path.stat().st_size}
    one_class = one_class_labels(labels)
    note = one_class_note(one_class, len(names))
    n_records = sum(split["records"] for split in splits.values())
    return {
        "schema": 1,
        "name": builder.name,
        "version": str(builder.version),
        "request": request_of(builder.source, builder.options, builder.limit),
        "records": n_records,
        "patients": sum(split["patients"] for split in splits.values()),
        "splits": splits,
        "notes": [*plan.notes, *filter(None, [note])],
        "counts": dict(sorted(counts.items())),
        "rejects": {
            "total": len(rejects),
            "by_reason": dict(Counter(f"{r.stage}: {r.reason}" for r in rejects).most_common()),
        },
        "labels": labels,
        "one_class_labels": one_class,
        "files": files,
        "workers": builder.workers,
        "seconds": round(seconds, 3),
        "ecg_per_s": round(n_records / seconds, 1) if seconds else None,
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


def _describe(index: pa.Table) -> dict[str, Any]:
    age = index.column("age").to_numpy(zero_copy_only=False)
    age = age[np.isfinite(age)]
    folds = [fold for fold in index.column("fold").unique().to_pylist() if fold is not None]
    return {
        "records": index.num_rows,
        "patients": len(index.column("patient_id").unique()),
        "sex": dict(Counter(index.column("sex").to_pylist()).most_common()),
        "age_known": int(age.size),
        "age_median": float(np.median(age)) if age.size else None,
        "folds": sorted(folds),
    }
