"""Labelled reports: a table of texts and labels, parted by patient."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.data.records import SPLITS
from deepecg_jax.data.splits import hash_split, parse_shares
from deepecg_jax.data.tables.label_columns import (
    PREFIX,
    choose_columns,
    label_name,
    read_labels,
    split_names,
)
from deepecg_jax.data.tables.read import require_column, texts
from deepecg_jax.data.tables.rows import split_of
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.tables.reports import (
    EVIDENCE,
    columns_of,
    read_table,
    require_unique,
    rows_of,
)


@dataclass(frozen=True)
class Columns:
    """Which columns of the table are what, and how it is parted.

    Attributes:
        text: the reports.
        labels: label columns; a name with * takes all that fit. Parts of a name that was cut at
            its commas ("Q wave (lateral- I, aVL, V5-V6)") are put together again.
        id: unique ids; needed to join labels from another file.
        patient: patients, none of whom is in two splits; without it every report is its own.
        split: ``train``, ``validation`` or ``test`` of each row; without it patients are parted
            by ``shares``.
        shares: of train, validation and test, such as ``80/10/10``.
        empty_is: what an empty label means: ``unknown`` or ``absent``.
    """

    text: str
    labels: tuple[str, ...]
    id: str | None = None
    patient: str | None = None
    split: str | None = None
    shares: str = "80/10/10"
    empty_is: str = "unknown"


@dataclass(frozen=True)
class LabelledReports:
    """N reports with C labels.

    Attributes:
        texts: none is empty.
        names: labels, without ``label:``.
        labels: (N, C) int8: 1, 0, -1 unknown.
        splits: (N,) of ``train``, ``validation``, ``test``.
        n_without_text, n_unlabelled: rows of the table that are left out.
        left_out: labels chosen by a pattern that have one class only among the training reports.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray
    n_without_text: int
    n_unlabelled: int
    left_out: tuple[str, ...]

    def split(self, name: str) -> tuple[list[str], np.ndarray]:
        """Texts and labels of a split."""
        rows = np.flatnonzero(self.splits == name)
        return [self.texts[i] for i in rows], self.labels[rows]

    def sha256(self) -> str:
        """Of all that is learned from."""
        digest = hashlib.sha256("\0".join((*self.names, *self.texts, *self.splits)).encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read_labelled(
    path: Path, columns: Columns, labels_from: Path | None = None, encoding: str | None = None
) -> LabelledReports:
    """Read the table.

    labels_from: a file with the label columns, joined by the id column; by default they are
        columns of ``path``.

    Raises:
        UserError: a column or value is missing or wrong, a patient is in two splits, a split is
            empty, or a label lacks one class among the training reports.
    """
    options = {
        "--text": columns.text,
        "--id": columns.id,
        "--patient": columns.patient,
        "--split": columns.split,
    }
    for option, column in options.items():
        if column is not None:
            require_column(column, columns_of(path, encoding), path, option)
    used = [column for column in options.values() if column is not None]
    table = read_table(path, used, encoding, as_written=(columns.text,))
    ids = texts(table, columns.id) if columns.id else [str(i) for i in range(table.num_rows)]
    if columns.id:
        require_unique(ids, columns.id, path)
    names, labels, wanted = _labels(path, columns, ids, labels_from, encoding)
    reports = texts(table, columns.text)
    patients = ids
    if columns.patient:  # a report without a patient is its own
        own = texts(table, columns.patient)
        patients = [patient or f"report {i}" for patient, i in zip(own, ids, strict=True)]
    splits = _splits(table, path, columns, patients)
    has_text = np.array([bool(text.strip()) for text in reports], bool)
    labelled = (labels >= 0).any(1)
    rows = np.flatnonzero(has_text & labelled)
    for split in SPLITS[:2]:
        if not (splits[rows] == split).any():
            raise UserError(
                f"{path} has no labelled report with a text in the split {split!r}; "
                + ("correct the split column." if columns.split else "change --shares.")
            )
    learned = labels[rows][splits[rows] == "train"]
    both = (learned == 1).any(0) & (learned == 0).any(0)
    for name, fine in zip(names, both.tolist(), strict=True):
        if not fine and (name in wanted or PREFIX + name in wanted):
            raise UserError(
                f"{path}: the label {name!r} is not both present and absent among the training "
                "reports, so nothing can be learned; leave it out of --labels."
            )
    if not both.any():
        raise UserError(
            f"{path}: no label is both present and absent among the training reports"
            + (
                "; is an empty label an absent one (--empty-is absent)?"
                if (learned < 0).any()
                else "."
            )
        )
    return LabelledReports(
        texts=tuple(reports[i] for i in rows),
        names=tuple(np.array(names, object)[both]),
        labels=labels[rows][:, both],
        splits=splits[rows],
        n_without_text=int((~has_text).sum()),
        n_unlabelled=int((has_text & ~labelled).sum()),
        left_out=tuple(np.array(names, object)[~both]),
    )


def _labels(
    path: Path,
    columns: Columns,
    ids: Sequence[str],
    labels_from: Path | None,
    encoding: str | None,
) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Names, (N, C) int8 in the order of the table, and the names and patterns that were asked."""
    if labels_from is not None and columns.id is None:
        raise UserError("--labels-from joins two files by --id COLUMN; give it.")
    source = labels_from or path
    there = columns_of(source, encoding)
    if labels_from is not None and columns.id is not None:
        require_column(columns.id, there, source, "--id")
    others = {columns.text, columns.id, columns.patient, columns.split, EVIDENCE}
    free = [name for name in there if name not in others and not name.startswith("score:")]
    wanted = split_names(",".join(columns.labels), there)
    chosen = choose_columns(wanted, free, there, source, "--labels")
    join = [columns.id] if labels_from is not None and columns.id is not None else []
    table = read_table(source, [*join, *chosen], encoding)
    order = np.arange(table.num_rows)
    if join:
        order = rows_of(texts(table, join[0]), source, join[0], ids)
    parts = []
    for column in chosen:
        values = read_labels(table, column, source)
        if columns.empty_is == "absent":
            values = np.where([not text for text in texts(table, column)], 0, values)
        parts.append(np.where(order >= 0, values[order], -1).astype(np.int8))
    names = tuple(label_name(column) for column in chosen)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source} has the label {twice[0]!r} twice; keep one.")
    return names, np.stack(parts, 1), wanted


def _splits(table: pa.Table, path: Path, columns: Columns, patients: Sequence[str]) -> np.ndarray:
    """(N,) split of each row; no patient is in two."""
    if columns.split is None:
        shares = parse_shares(columns.shares)
        return np.array([hash_split(patient, shares) for patient in patients], object)
    where = f"{path}: column {columns.split!r}"
    splits: list[str] = []
    home: dict[str, str] = {}
    written = texts(table, columns.split)
    for row, (patient, text) in enumerate(zip(patients, written, strict=True), 2):
        split = split_of(text, where, row, "leave --split out")
        if not split:
            raise UserError(
                f"{where} is empty in row {row}; leave --split out to split by patient."
            )
        if home.setdefault(patient, split) != split:
            raise UserError(
                f"{path}: patient {patient!r} is in the splits {home[patient]} and {split}; put "
                "all reports of a patient into one."
            )
        splits.append(split)
    return np.array(splits, object)
