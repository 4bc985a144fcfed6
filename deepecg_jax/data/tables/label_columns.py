"""Label columns of a table: which they are, and text -> 1, 0, -1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.cells import LABEL_WORDS, yes_or_no
from deepecg_jax.data.tables.read import require_column
from deepecg_jax.errors import UserError
from deepecg_jax.labels.select import matching

PREFIX = "label:"
"""Column names may begin with it, as in prediction tables; the label is what follows."""


def choose_columns(
    wanted: str | Sequence[str],
    free: Sequence[str],
    names: Sequence[str],
    path: Path,
    option: str = "option labels",
) -> list[str]:
    """The label columns that an option asks for, in the option's order.

    Args:
        wanted: names with commas (``split_names``) or one by one; a name with * takes all columns
            that fit, and so does ``prefix:*`` for ``prefix:`` alone.
        free: columns that have no other role, from which * takes.
        names: all columns.
        path: the table.
        option: what the option is called, for the sentence.

    Raises:
        UserError: a name that the table does not have, a * that nothing fits, or nothing at all.
    """
    chosen: list[str] = []
    for name in split_names(wanted, names) if isinstance(wanted, str) else wanted:
        fitting = matching(name, names, free, PREFIX)
        if not fitting and "*" in name:
            raise UserError(f"{path} has no column that fits {name!r} of {option}.")
        if not fitting:
            require_column(name, names, path, option)
        chosen += [column for column in fitting if column not in chosen]
    if not chosen:
        raise UserError(f"{option.capitalize()} is {wanted!r}, which names no column.")
    return chosen


def label_name(column: str) -> str:
    """The label's name: that of the column without ``label:``."""
    return column.removeprefix(PREFIX) or column


def label_values(column: pa.ChunkedArray) -> tuple[np.ndarray, str | None]:
    """Labels int8 (N,) of a column of texts, and the first text that is no label (or None)."""
    encoded = column.combine_chunks().dictionary_encode()
    written = encoded.dictionary.to_pylist()
    known = [yes_or_no(text) for text in written]
    strange = next((t for t, value in zip(written, known, strict=True) if value is None), None)
    table = np.array([-1 if value is None else value for value in known] or [-1], np.int8)
    return table[encoded.indices.to_numpy(zero_copy_only=False)], strange


def read_labels(table: pa.Table, column: str, path: Path) -> np.ndarray:
    """Labels int8 (N,) of a column: 1, 0, -1 unknown; UserError if a text is no label."""
    values, strange = label_values(table.column(column))
    if strange is not None:
        row = table.column(column).to_pylist().index(strange) + 2
        raise UserError(
            f"{path}: column {column!r} holds {strange!r} in row {row}; a label is {LABEL_WORDS}."
        )
    return values


def split_names(option: str, names: Sequence[str]) -> list[str]:
    """Parts between commas; a column whose own name holds commas may stand there as it is."""
    if option in names or PREFIX + option in names:
        return [option]
    parts: list[str] = []
    pieces = option.split(",")
    while pieces:
        for end in range(len(pieces), 0, -1):
            joined = ",".join(pieces[:end]).strip()
            if end == 1 or joined in names or PREFIX + joined in names:
                parts.append(joined)
                pieces = pieces[end:]
                break
    return [part for part in parts if part]
