"""Labelled reports: a table of texts and labels, parted by patient."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepecg_jax.data.records import SPLITS
from deepecg_jax.data.splits import hash_split, parse_shares
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.tables.read import read_table, require_column, require_unique
from deepecg_jax.labelling.tables.reference import label_column
from deepecg_jax.labels.select import select_labels

_PREFIX = "label:"


@dataclass(frozen=True)
class Columns:
    """Which columns of the table are what, and how it is parted.

    Attributes:
        text: the reports.
        labels: label columns; a name with * takes all that fit.
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
    table = read_table(path, encoding)
    options = {
        "--text": columns.text,
        "--id": columns.id,
        "--patient": columns.patient,
        "--split": columns.split,
    }
    for option, column in options.items():
        if column is not None:
            require_column(table, column, path, option)
    ids = _texts(table[columns.id]) if columns.id else [str(i) for i in range(len(table))]
    if columns.id:
        require_unique(ids, columns.id, path)
    names, labels = _labels(table, path, columns, ids, labels_from, encoding)
    texts = _texts(table[columns.text])
    patients = ids
    if columns.patient:  # a report without a patient is its own
        own = _texts(table[columns.patient])
        patients = [patient or f"report {i}" for patient, i in zip(own, ids, strict=True)]
    splits = _splits(table, path, columns, patients)
    has_text = np.array([bool(text.strip()) for text in texts], bool)
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
        if not fine and (name in columns.labels or _PREFIX + name in columns.labels):
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
        texts=tuple(texts[i] for i in rows),
        names=tuple(np.array(names, object)[both]),
        labels=labels[rows][:, both],
        splits=splits[rows],
        n_without_text=int((~has_text).sum()),
        n_unlabelled=int((has_text & ~labelled).sum()),
        left_out=tuple(np.array(names, object)[~both]),
    )


def _texts(values: Iterable[Any]) -> list[str]:
    return ["" if value is None or value != value else str(value) for value in values]


def _labels(
    table: pd.DataFrame,
    path: Path,
    columns: Columns,
    ids: Sequence[str],
    labels_from: Path | None,
    encoding: str | None,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and (N, C) int8, in the order of the table."""
    order = np.arange(len(table))
    if labels_from is not None:
        if columns.id is None:
            raise UserError("--labels-from joins two files by --id COLUMN; give it.")
        table, path = read_table(labels_from, encoding), labels_from
        require_column(table, columns.id, path, "--id")
        own = _texts(table[columns.id])
        require_unique(own, columns.id, path)
        rows = {value: row for row, value in enumerate(own)}
        order = np.array([rows.get(value, -1) for value in ids])
        if not (order >= 0).any():
            raise UserError(f"{path} and the reports have no {columns.id} in common.")
    others = {columns.text, columns.id, columns.patient, columns.split, "evidence"}
    available = [
        str(name)
        for name in table.columns
        if name not in others and not str(name).startswith("score:")
    ]
    wanted = [
        name if name in available or _PREFIX + name not in available else _PREFIX + name
        for name in columns.labels
    ]
    chosen, _ = select_labels(wanted, available, str(path))
    parts = []
    for column in chosen:
        values = label_column(table[column], path, column)
        if columns.empty_is == "absent":
            values = np.where(_is_empty(table[column]), 0, values)
        parts.append(np.where(order >= 0, values[order], -1).astype(np.int8))
    names = tuple(column.removeprefix(_PREFIX) for column in chosen)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path} has the label {twice[0]!r} twice; keep one.")
    return names, np.stack(parts, 1)


def _is_empty(values: Iterable[Any]) -> np.ndarray:
    return np.array([not text.strip() for text in _texts(values)], bool)


def _splits(
    table: pd.DataFrame, path: Path, columns: Columns, patients: Sequence[str]
) -> np.ndarray:
    """(N,) split of each row; no patient is in two."""
    if columns.split is None:
        shares = parse_shares(columns.shares)
        return np.array([hash_split(patient, shares) for patient in patients], object)
    splits = _texts(table[columns.split])
    home: dict[str, str] = {}
    for row, (patient, split) in enumerate(zip(patients, splits, strict=True), 2):
        if split not in SPLITS:
            raise UserError(
                f"{path}: column {columns.split!r} has {split!r} in row {row}; a split is "
                f"{', '.join(SPLITS)}."
            )
        if home.setdefault(patient, split) != split:
            raise UserError(
                f"{path}: patient {patient!r} is in the splits {home[patient]} and {split}; put "
                "all reports of a patient into one."
            )
    return np.array(splits, object)
