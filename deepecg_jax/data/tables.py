"""Metadata tables (CSV or Parquet) with all columns as text, read through Arrow."""

import csv
import difflib
import gzip
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from deepecg_jax.errors import UserError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_DELIMITERS = ",;\t|"


def column_names(path: Path, encoding: str = "utf-8") -> tuple[str, ...]:
    """The columns of a table; UserError if it is absent, unreadable, or names one twice."""
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            names = tuple(pq.read_schema(path).names)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{path} cannot be read as Parquet ({error}).") from error
    else:
        header = _header(path, encoding)
        names = tuple(next(csv.reader([header], delimiter=_delimiter(header)), ()))
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise UserError(f"{path} has two columns {twice!r}; rename one.")
    return names


def read_columns(path: Path, names: Sequence[str], encoding: str = "utf-8") -> pa.Table:
    """Columns of a table as text; an empty cell is "".

    Numbers, dates and true and false of a Parquet file become text as Arrow writes them
    (``56.0``, ``2020-03-04``, ``true``).

    Raises:
        UserError: the file cannot be read, or a column holds lists or the like.
    """
    names = list(dict.fromkeys(names))
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pq.read_table(path, columns=names)
        else:
            table = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(encoding=encoding),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=_delimiter(_header(path, encoding)), newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=names, column_types={name: pa.string() for name in names}
                ),
            )
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError, LookupError) as error:
        raise UserError(
            f"{path} cannot be read as a table in {encoding} ({' '.join(str(error).split())})."
        ) from error
    return pa.table({name: _text(table.column(name), name, path) for name in names})


def texts(table: pa.Table, name: str) -> list[str]:
    """One column as a list of texts."""
    return table.column(name).to_pylist()


def require_column(name: str, names: Sequence[str], path: Path, option: str) -> str:
    """``name`` if the table has it; UserError with the nearest column otherwise."""
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.4)
    lowered = [other for other in names if other.lower() == name.lower()]
    shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    hint = (
        f"did you mean {' or '.join(map(repr, lowered or near))}?"
        if lowered or near
        else f"it has {shown}."
    )
    raise UserError(f"{path} has no column {name!r} for option {option}; {hint}")


def _text(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        column = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{path}: column {name!r} holds {column.type}, which is no text and no number."
        ) from error
    return pc.call_function("utf8_trim_whitespace", [pc.fill_null(column, "")])


def _header(path: Path, encoding: str) -> str:
    try:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding=encoding, newline="") as file:
            line = str(file.readline())
    except (OSError, UnicodeDecodeError, LookupError) as error:
        raise UserError(f"{path} cannot be read in {encoding} ({error}).") from error
    line = line.removeprefix("\ufeff").rstrip("\r\n")
    if not line:
        raise UserError(f"{path} is empty; its first line must name the columns.")
    return line


def _delimiter(header: str) -> str:
    """The one of , ; tab | that stands most often in the line of column names."""
    return max(_DELIMITERS, key=header.count)
