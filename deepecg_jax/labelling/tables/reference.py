"""Reference labels from a table: finding columns, or SCP-ECG statements as in PTB-XL."""

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.tables.agreement import Uncertain, scp_reference
from deepecg_jax.labelling.tables.read import read_table, require_column, require_unique
from deepecg_jax.labels.findings import FINDINGS

SCP_COLUMN = "scp_codes"
_VALUES = {
    "present": 1,
    "1": 1,
    "1.0": 1,
    "true": 1,
    "absent": 0,
    "0": 0,
    "0.0": 0,
    "false": 0,
    "uncertain": -1,
    "-1": -1,
    "-1.0": -1,
    "": -1,
    "nan": -1,
    "none": -1,
    "<na>": -1,
}


def read_reference(
    path: Path,
    id_column: str,
    ids: Sequence[str],
    encoding: str | None = None,
    uncertain: Uncertain = Uncertain.present,
) -> dict[str, np.ndarray]:
    """Reference labels in the order of ``ids``: finding -> (N,) int8 of 1, 0, -1 unknown.

    The table has the id column and either columns named as findings (with or without ``label:``;
    present, absent, uncertain, 1, 0, -1 or empty) or a column ``scp_codes`` with a dictionary of
    SCP-ECG statements and their likelihoods, whose uncertain ones count as ``uncertain`` says.
    A report that the table does not have is unknown throughout.

    Raises:
        UserError: no id column, no report in common, no finding, or a value that is no label.
    """
    table = read_table(path, encoding)
    require_column(table, id_column, path, "--id")
    own = [str(value) for value in table[id_column]]
    require_unique(own, id_column, path)
    rows = {value: row for row, value in enumerate(own)}
    order = np.array([rows.get(value, -1) for value in ids])
    if not (order >= 0).any():
        raise UserError(f"{path} and the reports have no {id_column} in common.")
    found = {
        name: label_column(table[column], path, column)
        for name in FINDINGS
        for column in (name, f"label:{name}")
        if column in table.columns
    }
    if not found:
        if SCP_COLUMN not in table.columns:
            raise UserError(
                f"{path} has neither a column named as a finding nor {SCP_COLUMN!r}; nothing to "
                "compare with."
            )
        codes = [_codes(text, row, path) for row, text in enumerate(table[SCP_COLUMN], 2)]
        found = scp_reference(codes, uncertain)
    return {
        name: np.where(order >= 0, values[order], -1).astype(np.int8)
        for name, values in found.items()
    }


def label_column(values: Iterable[Any], path: Path, column: str) -> np.ndarray:
    """A column of a table as (N,) int8 of 1 present, 0 absent, -1 uncertain or empty.

    Raises:
        UserError: a value is no label.
    """
    texts = ["" if value is None else str(value).strip().lower() for value in values]
    for row, text in enumerate(texts, 2):
        if text not in _VALUES:
            raise UserError(
                f"{path}: column {column!r} has {text!r} in row {row}; a label is present, absent, "
                "uncertain, 1, 0, -1 or empty."
            )
    return np.array([_VALUES[text] for text in texts], np.int8)


def _codes(text: str, row: int, path: Path) -> dict[str, float]:
    try:
        value = ast.literal_eval(text)
        return {str(code): float(likelihood) for code, likelihood in value.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: row {row} has {text[:40]!r} in {SCP_COLUMN}; it must be a dictionary of "
            "statements such as {'SR': 0.0}."
        ) from error
