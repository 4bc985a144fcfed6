"""Which column of a metadata table plays which role, from options and column names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deepecg_jax.data.tables.folders import FROM_FILE, FROM_FOLDER
from deepecg_jax.data.tables.read import (
    column_named,
    column_names,
    is_table,
    plain_name,
    require_column,
)
from deepecg_jax.errors import UserError

ROLES: tuple[str, ...] = (
    *("path", "dataset", "row", "record_id", "patient_id", "split", "age", "birth_date", "sex"),
    *("recorded", "site", "device", "report", "time_days", "event", "event_date", "last_seen"),
)
"""A role is taken by the column of its own name, in any case and with blanks or hyphens for the
underscores, unless an option of that name says otherwise."""

NOBODY = "none"
"""Value of a role's option: no column has the role, whatever columns are called."""

_LIKE = {
    "patient_id": (
        *("subject_id", "patient", "subject", "patientid", "pid", "mrn", "pat_id", "patient_nr"),
        *("patientnr", "patnr", "pat_nr", "patienten_id", "patientennummer", "patient_number"),
    ),
    "sex": ("gender", "geschlecht", "sexe", "sexo", "kön", "kjønn", "is_male", "male", "female"),
    "age": ("alter", "age_years", "age_at_ecg", "âge", "edad", "ålder", "idade"),
    "birth_date": ("dob", "date_of_birth", "birthdate", "geburtsdatum", "geb_datum", "geburtstag"),
}
"""Names of columns that most likely have a role which nobody gave them."""

_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")


def find_table(
    source: Path, stated: str, path_column: str = "", encoding: str = "utf-8"
) -> Path | None:
    """The metadata table: the one stated, the source itself, or the only one that names files.

    None if the folder holds no table at all. A ``.txt`` is a table only if it names files, or may
    do so in another encoding.

    Args:
        source: a folder, or the table.
        stated: option ``table``: a path, relative to the source folder; "" to look for it.
        path_column: option ``path``; "" for the column of that name.
        encoding: of CSV tables.

    Raises:
        UserError: the stated table is not there, several name files, or there is a workbook only.
    """
    if source.is_file():
        return source
    if stated:
        path = source / stated
        if not path.is_file():
            raise UserError(f"The table {path} of option table does not exist.")
        return path
    files = [p for p in sorted(source.glob("*")) if p.is_file() and p.name[0] not in ".~"]
    tables = [path for path in files if is_table(path)]
    named = [path for path in tables if _names_files(path, path_column, encoding)]
    tables = named or [path for path in tables if path.suffix.lower() != ".txt" or _coded(path)]
    if len(tables) > 1:
        there = ", ".join(path.name for path in tables[:5])
        raise UserError(
            f"{source} holds several tables: {there}; say which by --option table=FILE."
        )
    book = next((path for path in files if path.suffix.lower() in _WORKBOOKS), None)
    if not tables and book is not None:
        raise UserError(
            f"{source} holds no table but {book.name}, a workbook, which is not read; save its "
            "sheet as CSV (UTF-8) or Parquet, or take ECGs without a table by --option files=*.xml "
            "or the like."
        )
    return tables[0] if tables else None


def columns_of_roles(
    options: Mapping[str, str], names: Sequence[str], path: Path
) -> dict[str, str]:
    """Role -> column, for the roles that have one.

    Raises:
        UserError: an option names a column that the table does not have (or there is no table, and
            ``path`` is the folder), there is no path column,
            or a column looks like a patient's id while no column has that role.
    """
    found: dict[str, str] = {}
    for role in ROLES:
        stated = options[role]
        if stated == NOBODY and role != "path":
            continue
        if role == "patient_id" and stated in (FROM_FILE, FROM_FOLDER) and stated not in names:
            continue
        if stated and path.is_dir():
            raise UserError(
                f"{path} holds no table, so there is no column for --option {role}={stated}; give "
                "--option table=FILE."
            )
        if stated:
            found[role] = require_column(stated, names, path, f"option {role}")
        elif column := column_named(role, names):
            found[role] = column
    if "path" not in found:
        shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise UserError(
            f"{path} has no column 'path'; say which column names the files by --option "
            f"path=COLUMN (it has {shown})."
        )
    if "patient_id" not in found and not options["patient_id"]:
        similar = _similar("patient_id", names, found.values())
        if similar:
            raise UserError(
                f"{path} has a column {similar[0]!r}, but no column is named as the patient's id, "
                f"which keeps patients apart; give --option patient_id={similar[0]}, or "
                "--option patient_id=none if every ECG is of another patient."
            )
    return found


def overlooked(
    options: Mapping[str, str], roles: Mapping[str, str], names: Sequence[str]
) -> dict[str, str]:
    """Column -> role, where a column's name says a role that none has and no option denies."""
    found = {}
    for role in ("sex", "age", "birth_date"):
        if role not in roles and options[role] != NOBODY:
            found |= dict.fromkeys(_similar(role, names, roles.values()), role)
    return found


def _similar(role: str, names: Sequence[str], taken: Iterable[str]) -> list[str]:
    return [name for name in names if plain_name(name) in _LIKE[role] and name not in taken]


def _coded(path: Path) -> bool:
    """UTF-16, as programs of Windows write tables, or bytes beyond ASCII between delimiters."""
    with path.open("rb") as file:
        line = file.readline(10_000)
    return line.startswith((b"\xff\xfe", b"\xfe\xff")) or (
        not line.isascii() and (b";" in line or b"\t" in line)
    )


def _names_files(path: Path, column: str, encoding: str) -> bool:
    try:
        names = column_names(path, encoding)
    except UserError:
        return False
    return column in names if column else bool(column_named("path", names))
