"""Tables of reports in, the table of labels out."""

import codecs
import difflib
import gzip
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.labeller import Labeller, Labels, no_collection, shipped_labeller
from deepecg_jax.labelling.rules.schema import read_rules
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labels.findings import FINDINGS

EVIDENCE = "evidence"
_QUOTED = [json.dumps(name, ensure_ascii=False) for name in FINDINGS]
_WORTH_A_PROCESS = 20_000  # distinct texts; fewer are labelled before a process has started


@dataclass(frozen=True)
class Reports:
    """N reports: their ids (unique) and texts ("" if there is none)."""

    id_name: str
    ids: list[str]
    texts: list[str]


def read_table(path: Path, encoding: str | None = None) -> pd.DataFrame:
    """A CSV (comma, semicolon, tab or bar; also .gz) or Parquet file as text columns.

    Raises:
        UserError: there is no such file, it is in another encoding, or no table.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            raw = file.read()
        text = _decode(raw, encoding, path)
        header = text.split("\n", 1)[0]
        separator = max(",;\t|", key=header.count)
        return pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as a table: {str(error).strip()}.") from error


def _decode(raw: bytes, encoding: str | None, path: Path) -> str:
    try:
        codec = codecs.lookup(encoding or "utf-8-sig")
    except LookupError as error:
        raise UserError(f"there is no encoding {encoding!r}; common are utf-8, cp1252.") from error
    if encoding is None and raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UserError(f"{path} is UTF-16, not UTF-8; give --encoding utf-16.")
    try:
        return raw.decode(codec.name if encoding else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        other = "utf-8" if encoding else "cp1252"
        raise UserError(
            f"{path} is not {encoding or 'UTF-8'}: line {line} has the byte "
            f"0x{raw[error.start]:02x}; give --encoding {other} (or save the file as UTF-8)."
        ) from error


def read_reports(
    path: Path, id_column: str, text_column: str, encoding: str | None = None
) -> Reports:
    """The two columns of a table of reports.

    Raises:
        UserError: a column is missing (the nearest is named), an id is empty or stands twice, no
            row has a text, or the id column has the name of a column of the output.
    """
    table = read_table(path, encoding)
    for column, option in ((id_column, "--id"), (text_column, "--text")):
        require_column(table, column, path, option)
    if id_column in (*FINDINGS, EVIDENCE):
        raise UserError(f"the id column must not be called {id_column!r}; the output has it too.")
    ids = ["" if value is None else str(value) for value in table[id_column]]
    require_unique(ids, id_column, path)
    texts = [value if isinstance(value, str) else "" for value in table[text_column]]
    if not any(text.strip() for text in texts):
        raise UserError(f"{path}: no row has a text in column {text_column!r}.")
    return Reports(id_column, ids, texts)


def require_column(table: pd.DataFrame, column: str, path: Path, option: str) -> None:
    """UserError that names the nearest column if a table has no such column."""
    names = [str(name) for name in table.columns]
    if column not in names:
        near = difflib.get_close_matches(column, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:12])}."
        raise UserError(f"{path} has no column {column!r} for {option}; {hint}")


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


def label_texts(
    texts: Sequence[str],
    language: str | None = None,
    rules: Path | None = None,
    workers: int = 1,
) -> list[Labels]:
    """Label N texts, each distinct text once, in ``workers`` processes.

    Args:
        texts: the reports.
        language: read only this language; by default it is detected for each report.
        rules: folder of rules; the shipped ones by default.
        workers: processes; 1 works in this one.
    """
    labeller = make_labeller(rules, language)  # first, so that mistakes show at once
    distinct = list(dict.fromkeys(texts))
    if workers == 1 or len(distinct) < _WORTH_A_PROCESS * workers:
        return labeller.label_all(texts)
    # contiguous parts: every process meets its own sentences again
    edges = np.linspace(0, len(distinct), 4 * workers + 1).astype(int)
    parts = [distinct[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (rules, language))
    with no_collection(), pool:
        found = [labels for part in pool.map(_label_part, parts) for labels in part]
    known = dict(zip(distinct, found, strict=True))
    return [known[text] for text in texts]


def make_labeller(rules: Path | None = None, language: str | None = None) -> Labeller:
    """A labeller with the rules of a folder, the shipped ones by default."""
    return shipped_labeller(language) if rules is None else Labeller(read_rules(rules), language)


_WORKER: list[Labeller] = []


def _start_worker(rules: Path | None, language: str | None) -> None:
    _WORKER[:] = [make_labeller(rules, language)]


def _label_part(texts: list[str]) -> list[Labels]:
    return _WORKER[0].label_all(texts)


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
    columns = {reports.id_name: id_column(reports.ids)}
    for i, finding in enumerate(FINDINGS):
        columns[finding] = names.take(pa.array(codes[i], mask=codes[i] < 0))
    texts: dict[int, str] = {}
    for own in labels:
        if id(own) not in texts:
            texts[id(own)] = evidence_json(own)
    columns[EVIDENCE] = pa.array([texts[id(own)] for own in labels], pa.string())
    return pa.table(columns)


def id_column(ids: Sequence[str]) -> pa.Array:
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


def write_labels(table: pa.Table, path: Path) -> None:
    """Write the table as Parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        pq.write_table(table, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_rows(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Write rows as a CSV file; the header stands there also if there are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ["id", "finding", "reference", "report", "words", "text"]
    pd.DataFrame(rows, columns=pd.Index(columns)).to_csv(path, index=False)
