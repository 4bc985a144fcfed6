"""How a CSV file is written: its delimiter, its column names, and what is wrong if it is none."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO, cast

from deepecg_jax.cells import delimiter_of
from deepecg_jax.errors import UserError

_SEP = re.compile(r'^"?sep=(.)"?$', re.IGNORECASE)
_LONGEST_HEADER = 100  # lines, where names hold line breaks
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of ``.xlsx`` and ``.ods`` (zip archives) and of ``.xls``."""


OPTION = "--option encoding="
"""How builders are told an encoding; other commands have an option of their own."""


@dataclass(frozen=True)
class Header:
    """Column names without surrounding blanks, and what stands before the first row."""

    names: tuple[str, ...]
    delimiter: str
    lines_before: int


def read_header(path: Path, encoding: str, option: str = OPTION) -> Header:
    """The line of column names; a line ``sep=;`` before it, as Excel writes, states the delimiter.

    UserError if the file is absent, empty, no text, or in another encoding, which ``option`` tells.
    """
    if _head(path).startswith(_WORKBOOKS):  # which Latin-1 would read as letters
        raise UserError(
            f"{path} is a workbook of a spreadsheet program (or an archive), not text; save its "
            "sheet as CSV (UTF-8) or Parquet."
        )
    try:
        with _open(path, encoding) as file:
            line, before, delimiter = file.readline().removeprefix("\ufeff"), 0, ""
            if stated := _SEP.match(line.strip("\r\n")):
                line, before, delimiter = file.readline(), 1, stated[1]
            for _ in range(_LONGEST_HEADER):
                if line.count('"') % 2 == 0 or not (more := file.readline()):
                    break
                line += more
        delimiter = delimiter or delimiter_of(line)
        names = next(csv.reader([line], delimiter=delimiter), [])
    # gzip raises EOFError and zlib.error on damaged files.
    except (OSError, UnicodeError, LookupError, EOFError, zlib.error, csv.Error) as error:
        raise not_readable(path, encoding, error, option) from error
    if not any(name.strip() for name in names):
        raise UserError(f"{path} is empty; its first line must name the columns.")
    return Header(tuple(name.strip() for name in names), delimiter, before)


def not_readable(path: Path, encoding: str, error: Exception, option: str = OPTION) -> UserError:
    """The sentence about a file that cannot be read as text in an encoding."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"There is no file {path}.")
    if isinstance(error, LookupError):
        return UserError(f"There is no encoding {encoding!r}; common are utf-8, cp1252, utf-16.")
    if _head(path).startswith((b"\xff\xfe", b"\xfe\xff")) and encoding != "utf-16":
        return UserError(f"{path} is in UTF-16; give {option}utf-16 or save it as UTF-8.")
    what = " ".join(str(error).split())
    if "utf8" in what.lower() or isinstance(error, UnicodeError):
        wanted = "cp1252 (Western Windows), latin-1 or the like"
        other = wanted if encoding.lower() in ("utf-8", "utf8") else "utf-8"
        return UserError(
            f"{path} cannot be read in {encoding} ({_first_other(path, encoding) or what}); give "
            f"{option}{other}, or save it as UTF-8."
        )
    return UserError(f"{path} cannot be read as a table in {encoding} ({what}).")


def _first_other(path: Path, encoding: str) -> str:
    """Where a file is in another encoding: ``line 2 has the byte 0xe4``; "" if unclear."""
    try:
        with _opened(path)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as error:
                    return f"line {number} has the byte 0x{line[error.start]:02x}"
    except (OSError, EOFError, zlib.error):  # the place only helps to find it
        return ""
    return ""


def _head(path: Path) -> bytes:
    """The first bytes of a file, none if it cannot be opened (opening it as text says why)."""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""


def _open(path: Path, encoding: str) -> TextIO:
    return cast(TextIO, _opened(path)(path, "rt", encoding=encoding, newline=""))


def _opened(path: Path) -> Callable[..., IO[Any]]:
    return gzip.open if path.suffix.lower() == ".gz" else open
