"""Which column of a metadata table plays which role, from options and column names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deepecg_jax.data.table_scan import FROM_FILE, FROM_FOLDER
from deepecg_jax.data.tables import SUFFIXES, column_names, require_column
from deepecg_jax.errors import UserError

ROLES: tuple[str, ...] = (
    *("path", "dataset", "row", "record_id", "patient_id", "split", "age", "birth_date", "sex"),
    *("recorded", "site", "device", "report", "time_days", "event", "event_date", "last_seen"),
)
"""A role is taken by the column of its own name unless an option of that name says otherwise."""

NOBODY = "none"
"""Value of a role's option: no column has the role, whatever columns are called."""

_LIKE_PATIENT_ID = ("subject_id", "patient", "subject", "patientid", "pid", "mrn", "pat_id")


def find_table(source: Path, stated: str) -> Path | None:
    """The metadata table: the one stated, the source itself, or the only one that names files.

    None if the folder holds no table at all.

    Args:
        source: a folder, or the table.
        stated: option ``table``: a path, relative to the source folder; "" to look for it.

    Raises:
        UserError: the stated table is not there, or several have a column ``path``.
    """
    if source.is_file():
        return source
    if stated:
        path = source / stated
        if not path.is_file():
            raise UserError(f"The table {path} of option table does not exist.")
        return path
    tables = sorted(p for p in source.glob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not tables:
        return None
    named = [path for path in tables if _names_files(path)]
    tables = tables if len(tables) == 1 else named or tables
    if len(tables) > 1:
        there = ", ".join(path.name for path in tables[:5])
        raise UserError(
            f"{source} holds several tables: {there}; say which by --option table=FILE."
        )
    return tables[0]


def columns_of_roles(
    options: Mapping[str, str], names: Sequence[str], path: Path
) -> dict[str, str]:
    """Role -> column, for the roles that have one.

    Raises:
        UserError: an option names a column that the table does not have, there is no path column,
            or a column looks like a patient's id while no column has that role.
    """
    found: dict[str, str] = {}
    for role in ROLES:
        stated = options[role]
        if stated == NOBODY and role != "path":
            continue
        if role == "patient_id" and stated in (FROM_FILE, FROM_FOLDER) and stated not in names:
            continue
        if stated:
            found[role] = require_column(stated, names, path, role)
        elif role in names:
            found[role] = role
    if "path" not in found:
        shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise UserError(
            f"{path} has no column 'path'; say which column names the files by --option "
            f"path=COLUMN (it has {shown})."
        )
    if "patient_id" not in found and not options["patient_id"]:
        similar = [name for name in names if name.lower() in _LIKE_PATIENT_ID]
        similar = [name for name in similar if name not in found.values()]
        if similar:
            raise UserError(
                f"{path} has a column {similar[0]!r}, but no column is named as the patient's id, "
                f"which keeps patients apart; give --option patient_id={similar[0]}, or "
                "--option patient_id=none if every ECG is of another patient."
            )
    return found


def _names_files(path: Path) -> bool:
    try:
        return "path" in column_names(path)
    except UserError:
        return False
