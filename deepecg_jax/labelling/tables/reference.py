"""Reference labels from a table: finding columns, or SCP-ECG statements as in PTB-XL."""

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepecg_jax.data.tables.label_columns import PREFIX, read_labels
from deepecg_jax.data.tables.read import require_column, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.tables.against_reference import Uncertain, scp_reference
from deepecg_jax.labelling.tables.reports import columns_of, read_table, rows_of
from deepecg_jax.labels.findings import FINDINGS

SCP_COLUMN = "scp_codes"


def read_reference(
    path: Path,
    id_column: str,
    ids: Sequence[str],
    encoding: str | None = None,
    uncertain: Uncertain = Uncertain.present,
) -> dict[str, np.ndarray]:
    """Reference labels in the order of ``ids``: finding -> (N,) int8 of 1, 0, -1 unknown.

    The table has the id column and either columns named as findings (with or without ``label:``;
    yes, no and unknown as in all tables, see ``cells.yes_or_no``) or a column ``scp_codes`` with a
    dictionary of SCP-ECG statements and their likelihoods, whose uncertain ones count as
    ``uncertain`` says.
    A report that the table does not have is unknown throughout.

    Raises:
        UserError: no id column, no report in common, no finding, or a value that is no label.
    """
    there = columns_of(path, encoding)
    require_column(id_column, there, path, "--id")
    columns = {
        name: column for name in FINDINGS for column in (name, PREFIX + name) if column in there
    }
    if not columns and SCP_COLUMN not in there:
        raise UserError(
            f"{path} has neither a column named as a finding nor {SCP_COLUMN!r}; nothing to "
            "compare with."
        )
    table = read_table(path, (id_column, *(columns.values() or (SCP_COLUMN,))), encoding)
    order = rows_of(texts(table, id_column), path, id_column, ids)
    if columns:
        found = {name: read_labels(table, column, path) for name, column in columns.items()}
    else:
        codes = [_codes(text, row, path) for row, text in enumerate(texts(table, SCP_COLUMN), 2)]
        found = scp_reference(codes, uncertain)
    return {
        name: np.where(order >= 0, values[order], -1).astype(np.int8)
        for name, values in found.items()
    }


def _codes(text: str, row: int, path: Path) -> dict[str, float]:
    try:
        value = ast.literal_eval(text)
        return {str(code): float(likelihood) for code, likelihood in value.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: row {row} has {text[:40]!r} in {SCP_COLUMN}; it must be a dictionary of "
            "statements such as {'SR': 0.0}."
        ) from error
