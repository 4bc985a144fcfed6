"""Tables of reports in, the table of labels out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.data.tables.read import column_names, read_columns, require_column, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.labeller import Labels
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labels.findings import FINDINGS

EVIDENCE = "evidence"
ENCODING = "--encoding "
"""How the commands are told the encoding of a CSV file, for sentences about it."""
_QUOTED = [json.dumps(name, ensure_ascii=False) for name in FINDINGS]


@dataclass(frozen=True)
class Reports:
    """N reports: their ids (unique) and texts ("" if there is none)."""

    id_name: str
    ids: list[str]
    texts: list[str]


def columns_of(path: Path, encoding: str | None = None) -> tuple[str, ...]:
    """The columns of a table of reports or labels; UserError if it cannot be read."""
    return column_names(path, encoding or "utf-8", ENCODING)


def read_table(
    path: Path, names: Sequence[str], encoding: str | None = None, as_written: Sequence[str] = ()
) -> pa.Table:
    """Columns of a table of reports or labels as text; those of ``as_written`` keep their blanks.

    CSV (also .gz; whatever parts its columns) or Parquet by the suffix, as all tables are read
    (``data.tables.read``).

    Raises:
        UserError: there is no such file, it is in another encoding, or no table.
    """
    return read_columns(path, names, encoding or "utf-8", ENCODING, as_written)


def read_reports(
    path: Path, id_column: str, text_column: str, encoding: str | None = None
) -> Reports:
    """The two columns of a table of reports.

    Raises:
        UserError: a column is missing (the nearest is named), an id is empty or stands twice, no
            row has a text, or the id column has the name of a column of the output.
    """
    names = columns_of(path, encoding)
    for column, option in ((id_column, "--id"), (text_column, "--text")):
        require_column(column, names, path, option)
    if id_column in (*FINDINGS, EVIDENCE):
        raise UserError(f"the id column must not be called {id_column!r}; the output has it too.")
    # spans point into the texts as they stand in the file
    table = read_table(path, (id_column, text_column), encoding, as_written=(text_column,))
    ids, reports = texts(table, id_column), texts(table, text_column)
    require_unique(ids, id_column, path)
    if not any(text.strip() for text in reports):
        raise UserError(f"{path}: no row has a text in column {text_column!r}.")
    return Reports(id_column, ids, reports)


def require_unique(ids: Sequence[str], column: str, path: Path) -> None:
    """UserError if an id is empty or stands twice."""
    seen: set[str] = set()
    for row, value in enumerate(ids, 2):
        if not value.strip():
            raise UserError(f"{path}: row {row} has no {column}; give every report its own.")
        if value in seen:
            raise UserError(
                f"{path}: {column} {value!r} stands {ids.count(value)} times; keep one report for "
                "each (join the texts of an ECG that has several)."
            )
        seen.add(value)


def rows_of(own: Sequence[str], path: Path, column: str, ids: Sequence[str]) -> np.ndarray:
    """Where each of N ids stands in a table with the ids ``own``: (N,) rows, -1 for none.

    UserError if an own id is empty or stands twice, or there is none in common.
    """
    require_unique(own, column, path)
    known = {value: row for row, value in enumerate(own)}
    found = np.array([known.get(value, -1) for value in ids])
    if not (found >= 0).any():
        raise UserError(f"{path} and the reports have no {column} in common.")
    return found


def to_table(reports: Reports, labels: Sequence[Labels]) -> pa.Table:
    """The id column, a column for each of the 77 findings, and ``evidence``.

    Ids are integers if all are written like integers, else text. A finding that is not mentioned
    is null. ``evidence`` is JSON: finding -> [[start, end], ...], characters of the text.
    """
    rows = np.repeat(np.arange(len(labels)), [len(own.states) for own in labels])
    findings = np.fromiter(chain.from_iterable([own.states for own in labels]), np.intp)
    states = np.fromiter(chain.from_iterable([own.states.values() for own in labels]), np.int8)
    codes = np.full((len(FINDINGS), len(labels)), -1, np.int8)
    codes[findings, rows] = states
    names = pa.array([state.name for state in State])
    columns = {reports.id_name: id_array(reports.ids)}
    for i, finding in enumerate(FINDINGS):
        columns[finding] = names.take(pa.array(codes[i], mask=codes[i] < 0))
    texts: dict[int, str] = {}
    for own in labels:
        if id(own) not in texts:
            texts[id(own)] = evidence_json(own)
    columns[EVIDENCE] = pa.array([texts[id(own)] for own in labels], pa.string())
    return pa.table(columns)


def id_array(ids: Sequence[str]) -> pa.Array:
    """Ids as integers if all are written like integers, else as text."""
    plain = all(value.isdigit() and str(int(value)) == value for value in ids)
    return pa.array([int(value) for value in ids] if plain else list(ids))


def evidence_json(labels: Labels) -> str:
    """Evidence of one report: ``{"Afib": [[0, 19]], ...}`` in the order of the findings."""
    spans = [
        f"{_QUOTED[i]}: [{', '.join([f'[{start}, {end}]' for start, end in own])}]"
        for i, own in sorted(labels.evidence.items())
    ]
    return "{" + ", ".join(spans) + "}"
