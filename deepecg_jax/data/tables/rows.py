"""Rows of a metadata table: their ids, their splits, and those that say nothing new."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.cells import is_unknown
from deepecg_jax.data.records import SPLITS
from deepecg_jax.data.splits import Shares, hash_split
from deepecg_jax.data.tables.read import texts
from deepecg_jax.errors import UserError

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_WHOLE = re.compile(r"(\d+)[.,]0+", re.ASCII)
_ROUNDED = re.compile(r"\d(?:[.,](\d+))?e\+(\d+)", re.ASCII | re.IGNORECASE)


def ids(table: pa.Table, column: str | None, path: Path) -> list[str]:
    """Ids as texts, "" for words that say that there is none; empty without a column.

    ``13722.0`` of a table that passed through floating point is ``13722``. UserError for
    ``1,23457E+11``, which a spreadsheet wrote for a long number: many ids become one.
    """
    if column is None:
        return []
    found = []
    for row, text in enumerate(texts(table, column), 2):
        if text.isdigit():  # as most are
            pass
        elif is_unknown(text):
            text = ""
        elif whole := _WHOLE.fullmatch(text):
            text = whole[1]
        elif (short := _ROUNDED.fullmatch(text)) and int(short[2]) > len(short[1] or ""):
            raise UserError(
                f"{path}: column {column!r} holds {text} in row {row}, a number that a spreadsheet "
                "has rounded, so that different ids are equal; export the column as text."
            )
        found.append(text)
    return found


def splits_of_rows(
    table: pa.Table, column: str | None, path: Path, patients: Sequence[str], shares: Shares
) -> tuple[list[str], dict[str, int], list[str]]:
    """The split of each row, "" for rows that are left out; counts; and notes.

    Without a column the patient's hash decides. UserError: the column holds another word.
    """
    if column is None:
        splits = [hash_split(patient, shares) for patient in patients]
        empty = [s for s, f in zip(SPLITS, shares, strict=True) if f and s not in splits]
        note = (
            f"No ECG fell into {' and '.join(empty)}: a hash of the patient decides, and there are "
            f"{len(set(patients))} patients; a split column or other --option shares help."
        )
        return splits, {}, [note] if empty and splits else []
    found = texts(table, column)
    splits = [
        split_of(text, f"{path}: column {column!r}", row, "give --option split=none")
        for row, text in enumerate(found, 2)
    ]
    left_out = splits.count("")
    return splits, {"rows_without_split": left_out} if left_out else {}, []


def split_of(text: str, where: str, row: int, otherwise: str) -> str:
    """``train``, ``validation`` or ``test`` from a cell (``dev``, ``Val`` ...), "" if empty.

    UserError for another word; ``otherwise`` is what splits by patient instead.
    """
    split = _SPLITS.get(text.strip().lower(), "")
    if text.strip() and not split:
        raise UserError(
            f"{where} holds {text!r} in row {row}; a split is train, validation or test; "
            f"{otherwise} to split by patient."
        )
    return split


def filled_rows(table: pa.Table) -> pa.Table:
    """Without the rows at the end in which no column has anything, as spreadsheets leave them."""
    end = table.num_rows
    while end and not any(column[end - 1].as_py() for column in table.columns):
        end -= 1
    return table.slice(0, end)


def repeated_rows(names: Sequence[str], table: pa.Table, labels: np.ndarray) -> set[int]:
    """Rows that repeat an earlier row of the same record in all columns that are used.

    Args:
        names: record id of each of N rows.
        table: (N rows) the columns in use but the labels.
        labels: int8, (N or more, labels).
    """
    firsts: dict[str, int] = {}
    again = [(i, firsts[name]) for i, name in enumerate(names) if firsts.setdefault(name, i) != i]
    if not again:
        return set()
    columns = [texts(table, name) for name in table.column_names]
    return {
        i
        for i, first in again
        if all(column[i] == column[first] for column in columns)
        and np.array_equal(labels[i : i + 1], labels[first : first + 1])
    }
