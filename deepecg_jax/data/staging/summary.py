"""``summary.json``: what a build found, kept, left out and repaired."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.data.records import UNLABELLED
from deepecg_jax.data.shards.index import INDEX_FILE, label_matrix
from deepecg_jax.data.staging.build_state import Request, Staged


class SplitSummary(TypedDict):
    """Who is in a split."""

    records: int
    patients: int
    sex: dict[str, int]
    age_known: int
    age_median: float | None
    folds: list[int]


class Rejects(TypedDict):
    """How many recordings were left out, and how many of them for which ``stage: reason``."""

    total: int
    by_reason: dict[str, int]


class Summary(TypedDict):
    """What ``summary.json`` holds.

    ``labels``: name -> split -> numbers of ``positive``, ``negative`` and ``unknown`` ECGs;
    ``files``: name of a shard -> its ``records`` and ``bytes``; ``counts``: what was noticed or
    repaired; ``ecg_per_s``: None where nothing new was read.
    """

    schema: int
    name: str
    version: str
    request: Request
    records: int
    patients: int
    splits: dict[str, SplitSummary]
    notes: list[str]
    counts: dict[str, int]
    rejects: Rejects
    labels: dict[str, dict[str, dict[str, int]]]
    one_class_labels: dict[str, list[str]]
    files: dict[str, dict[str, int]]
    workers: int
    seconds: float
    ecg_per_s: float | None


def summarize(
    staged: Staged,
    folder: Path,
    files: Mapping[str, dict[str, int]],
    rejects: Counter[str],
    counts: Mapping[str, int],
) -> Summary:
    """The contents of ``summary.json`` of the data set in ``folder``, read from its index.

    Args:
        staged: what the data set is of, and how its shards were written. ``ecg_per_s`` is of the
            records that were read in its ``seconds``, without those of a build that was stopped
            before.
        folder: where ``index.parquet`` is.
        files: file name of each shard -> ``records`` and ``bytes``.
        rejects: ``stage: reason`` -> how many.
        counts: what was noticed or repaired.
    """
    state, seconds, new = staged.state, staged.seconds, staged.new
    splits, labels = _describe_splits(folder, state.labels)
    one_class = one_class_labels(labels)
    note = one_class_note(one_class, len(labels))
    return {
        "schema": 1,
        "name": state.name,
        "version": state.version,
        "request": state.request,
        "records": sum(split["records"] for split in splits.values()),
        "patients": sum(split["patients"] for split in splits.values()),
        "splits": splits,
        "notes": [*state.notes, *filter(None, [note])],
        "counts": dict(sorted(counts.items())),
        "rejects": {"total": rejects.total(), "by_reason": dict(rejects.most_common())},
        "labels": labels,
        "one_class_labels": one_class,
        "files": dict(files),
        "workers": staged.workers,
        "seconds": round(seconds, 3),
        "ecg_per_s": round(new / seconds, 1) if seconds and new else None,
    }


def one_class_labels(labels: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, list[str]]:
    """Labels of which no classifier can be judged: those never positive, never negative, unknown.

    Args:
        labels: name -> split -> numbers of ``positive``, ``negative`` and ``unknown`` ECGs.
    """
    found: dict[str, list[str]] = {"never_positive": [], "never_negative": [], "unknown": []}
    for name, splits in labels.items():
        if name == UNLABELLED:  # stands for no label at all
            continue
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


def _describe_splits(
    folder: Path, names: Sequence[str]
) -> tuple[dict[str, SplitSummary], dict[str, dict[str, dict[str, int]]]]:
    """Each split described, and how often each label is what in it; one row group at a time."""
    splits: dict[str, SplitSummary] = {}
    labels: dict[str, dict[str, dict[str, int]]] = {name: {} for name in names}
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


def _describe(index: pa.Table) -> SplitSummary:
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
