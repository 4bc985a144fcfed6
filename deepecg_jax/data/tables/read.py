"""Metadata tables (CSV or Parquet) with all columns as text, read through Arrow."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from deepecg_jax.cells import is_unknown
from deepecg_jax.data.tables.csv_text import OPTION, not_readable, read_header
from deepecg_jax.errors import UserError

PARQUET, TEXT = (".parquet", ".pq"), (".csv", ".tsv", ".txt")
_SUFFIXES = (*PARQUET, *TEXT, *(suffix + ".gz" for suffix in TEXT))


def is_table(path: Path) -> bool:
    """Whether a file is a table by its extension (CSV, also gzipped, or Parquet)."""
    return path.name.lower().endswith(_SUFFIXES)


def column_names(path: Path, encoding: str = "utf-8", option: str = OPTION) -> tuple[str, ...]:
    """The columns of a table, without surrounding blanks and without columns that have no name.

    UserError if the table is absent, unreadable, or names one twice; ``option`` is how an encoding
    is told, for the sentence.
    """
    names = tuple(filter(None, _all_names(path, encoding, option)))
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise UserError(f"{path} has two columns {twice!r}; rename one.")
    return names


def read_columns(
    path: Path,
    names: Sequence[str],
    encoding: str = "utf-8",
    option: str = OPTION,
    as_written: Sequence[str] = (),
) -> pa.Table:
    """Columns of a table as text without surrounding blanks; an empty cell is "".

    Numbers, dates and true and false of a Parquet file become text as Arrow writes them
    (``56.0``, ``2020-03-04``, ``true``).

    Args:
        path: CSV or Parquet, by its suffix.
        names: the columns.
        encoding: of a CSV file.
        option: how an encoding is told, for the sentence.
        as_written: columns that keep their blanks, such as reports into which spans point.

    Raises:
        UserError: the file cannot be read, or a column holds lists or the like.
    """
    names = list(dict.fromkeys(names))
    if path.suffix.lower() in PARQUET:
        there = _all_names(path, encoding, option)
        try:
            table = pq.read_table(path, columns=[_raw_name(path, there, name) for name in names])
            table.validate(full=True)  # texts that are no UTF-8 would only fail when they are read
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise _no_parquet(path, error) from error
        table = table.rename_columns([name.strip() for name in table.column_names])
    else:
        table = _read_csv(path, names, encoding, option)
    return pa.table(
        {name: _text(table.column(name), name, path, name not in as_written) for name in names}
    )


def texts(table: pa.Table, name: str) -> list[str]:
    """One column as a list of texts."""
    return table.column(name).to_pylist()


def column_named(role: str, names: Sequence[str]) -> str:
    """The column of a role's name, however written; "" if none or several could be meant."""
    if role in names:
        return role
    found = [name for name in names if plain_name(name) == role]
    return found[0] if len(found) == 1 else ""


def plain_name(name: str) -> str:
    """``Patient-ID`` -> ``patient_id``."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def require_column(name: str, names: Sequence[str], path: Path, option: str) -> str:
    """``name`` if the table has it; UserError with the nearest column otherwise.

    ``option`` says who wants it: ``option path``, ``--id``.
    """
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
    raise UserError(f"{path} has no column {name!r} for {option}; {hint}")


def some_understood(
    column: str, what: str, written: Sequence[str], repairs: Sequence[Sequence[str]]
) -> None:
    """UserError if nothing that stands in a column was understood: it is another column, then.

    Args:
        column: its name, for the sentence.
        what: it was to be.
        written: its N texts.
        repairs: of each, with a word ``..._not_understood`` where it was not.
    """
    strange = [any(word.endswith("not_understood") for word in each) for each in repairs]
    stated = sum(not is_unknown(text) for text in written)
    if any(strange) and sum(strange) == stated:
        raise UserError(
            f"Nothing in column {column} can be read as {what} (such as "
            f"{written[strange.index(True)]!r}); name another column, or none, by --option."
        )


def _text(column: pa.ChunkedArray, name: str, path: Path, trim: bool) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        column = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{path}: column {name!r} holds {column.type}, which is no text and no number."
        ) from error
    filled = pc.fill_null(column, "")
    return pc.call_function("utf8_trim_whitespace", [filled]) if trim else filled


def _all_names(path: Path, encoding: str, option: str) -> tuple[str, ...]:
    if path.suffix.lower() not in PARQUET:
        return read_header(path, encoding, option).names
    try:
        return tuple(name.strip() for name in pq.read_schema(path).names)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"There is no file {path}.")
    return UserError(f"{path} cannot be read as Parquet ({' '.join(str(error).split())}).")


def _raw_name(path: Path, there: Sequence[str], name: str) -> str:
    return pq.read_schema(path).names[there.index(name)]


def _read_csv(path: Path, names: Sequence[str], encoding: str, option: str) -> pa.Table:
    header = read_header(path, encoding, option)
    # Nameless columns, which spreadsheets leave behind, get names that no other has.
    unique = [name or f"\0{number}" for number, name in enumerate(header.names)]
    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                encoding=encoding,
                column_names=unique,
                skip_rows=header.lines_before,
                skip_rows_after_names=1,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=header.delimiter, newlines_in_values=True
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(names), column_types={name: pa.string() for name in names}
            ),
        )
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError, UnicodeError, LookupError) as error:
        raise not_readable(path, encoding, error, option) from error
