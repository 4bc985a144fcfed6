"""The files that a metadata table names: where they are, and what their reader must be told."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from deepecg_jax.cells import read_number
from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.data.tables.paths import as_on_disk
from deepecg_jax.data.tables.read import column_named, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labels import muse
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.hdf5 import SEPARATOR, is_hdf5
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit

_SILENT = (".npy", ".csv")
"""Formats that never state rate, unit and leads."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""How absolute paths of Windows begin: a drive, or the two strokes before a server's name."""

Told = float | str | tuple[str, ...]
"""What a reader is told: a rate in Hz, a unit, names of leads."""

SPELLED = "spelled_otherwise"


@dataclass(frozen=True)
class ReadingOptions:
    """Rate, unit and leads, each a constant or a column: name -> (value, whether a column)."""

    given: Mapping[str, tuple[str, bool]]

    @classmethod
    def of(cls, options: Mapping[str, str], names: Sequence[str]) -> "ReadingOptions":
        """From the options; without one, a column of that name is used if there is one.

        UserError: a constant that is no rate or no unit.
        """
        given = {}
        for name in ("sampling_rate", "unit", "leads"):
            value = options[name] or column_named(name, names)
            if value:
                given[name] = (value, value in names)
                if value not in names:
                    _parse(name, value)
        return cls(given)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in use."""
        return tuple(value for value, is_column in self.given.values() if is_column)

    def locations(
        self, table: pa.Table, roles: Mapping[str, str], folder: Path, notes: list[str]
    ) -> list[str]:
        """Where each recording is: a path, for HDF5 with the place inside the file; "" for none.

        Relative paths are relative to ``folder`` and must stay below it, and may be separated as
        in Windows; absolute ones are taken as they are. Both are said in ``notes``.

        Raises:
            UserError: an escaping path, a row that is no number, or a format that needs rate, unit
                and leads when they are not given.
        """
        root = str(folder)
        found, absolute = [], 0
        written = texts(table, roles["path"])
        if _separated_as_in_windows(written, root):
            written = [text if _DRIVE.match(text) else text.replace("\\", "/") for text in written]
            notes.append("Paths in the table are separated by \\, as in Windows; read as /.")
        for row, text in enumerate(written, 2):
            name, _, place = text.partition(SEPARATOR)
            if not name:
                found.append("")
                continue
            if os.path.isabs(name) or _DRIVE.match(name):
                absolute += 1
            elif os.path.normpath(name).split(os.sep)[0] == os.pardir:
                raise UserError(
                    f"Row {row} of the table names {name}, which lies outside {folder}; give the "
                    "folder above as --source, or an absolute path."
                )
            full = name if _DRIVE.match(name) else os.path.join(root, name)
            found.append(f"{full}{SEPARATOR}{place}" if place else full)
        if absolute:
            notes.append(f"{absolute} of {len(found)} paths in the table are absolute.")
        silent = next((path for path in found if path.lower().endswith(_SILENT)), None)
        missing = [n for n in ("sampling_rate", "unit", "leads") if n not in self.given]
        if silent and missing:
            raise UserError(
                f"{silent} does not say what its numbers are; give "
                + " ".join(f"--option {name}=..." for name in missing)
                + "."
            )
        if "dataset" in roles or "row" in roles:
            found = _inside(found, table, roles)
        return found

    def arguments(self, table: pa.Table, files: Sequence[str]) -> list[dict[str, Told]]:
        """What the reader is told about each recording: ``sampling_rate``, ``unit``, ``leads``.

        Nothing about files that state these themselves (WFDB, vendor formats).
        """
        columns = {
            name: texts(table, value) if is_column else [value] * table.num_rows
            for name, (value, is_column) in self.given.items()
        }
        parsed: dict[tuple[str, str], Told | None] = {}  # few distinct values, many rows
        found = []
        for i, file in enumerate(files):
            row: dict[str, Told] = {}
            told = columns if _is_told(file) else {}
            for name, values in told.items():
                key = (name, values[i])
                if key not in parsed:
                    parsed[key] = _parse(*key)
                value = parsed[key]
                if value is not None:
                    row[name] = value
            found.append(row)
        return found


def read_planned(record: PlannedRecord) -> Recording:
    """Read one file with what the table says; SignalError if it is absent or cannot be read."""
    name, separator, place = record.path.partition(SEPARATOR)
    wfdb = Path(name + ".hea").is_file() or Path(name).with_suffix(".hea").is_file()
    there = wfdb or Path(name).exists()
    spelled = "" if there else as_on_disk(name)
    if not there and not spelled:
        foreign = "; a path of Windows has no meaning here, so write it relative to the source"
        what = f"{name} does not exist{foreign if _DRIVE.match(name) else ''}."
        raise SignalError("read", "missing_file", what)
    try:
        recording = read((spelled or name) + separator + place, **record.reading)
    except UserError as error:  # here the fault of one file, which must not stop all others
        raise SignalError("read", "unreadable", str(error)) from error
    return replace(recording, meta={**recording.meta, SPELLED: True}) if spelled else recording


def describe(record: PlannedRecord, recording: Recording) -> PlannedRecord:
    """Fill what the table leaves open from the file; where both speak, the table counts.

    A record without labels gets those that machine statements in its report define.
    """
    counts = list(record.counts)
    if SPELLED in recording.meta:
        counts.append("path_spelled_otherwise_than_the_file")
    changes: dict[str, Any] = {}
    strange = recording.meta.get("repairs", ())  # of the file's age and sex
    if math.isnan(record.age):
        if not math.isnan(recording.age) and "impossible_age" not in counts:
            changes["age"] = recording.age
        counts += [word for word in strange if "sex" not in word and word not in counts]
    elif not math.isnan(recording.age) and abs(record.age - recording.age) > 1.5:
        counts.append("age_differs_from_the_file")
    if record.sex == "unknown":
        if "sex_not_understood" not in counts:  # such as a third sex
            changes["sex"] = recording.sex
            counts += [word for word in strange if "sex" in word]
    elif recording.sex not in ("unknown", record.sex):
        counts.append("sex_differs_from_the_file")
    for name in ("site", "device", "report"):
        if not getattr(record, name):
            changes[name] = getattr(recording, name)
    if record.labels is None:
        report = changes.get("report", record.report)
        changes["labels"] = muse.labels_of(report.splitlines())
        if not report.strip():
            counts.append("without_statements")
    return replace(record, counts=tuple(counts), **changes)


def _is_told(file: str) -> bool:
    return file.lower().endswith(_SILENT) or is_hdf5(file)


def _separated_as_in_windows(paths: Sequence[str], root: str) -> bool:
    """Whether backslashes separate folders: some path has one, and no file is called so here."""
    first = next((p for p in paths if "\\" in p and not _DRIVE.match(p)), None)
    return first is not None and not os.path.exists(
        os.path.join(root, first.partition(SEPARATOR)[0])
    )


def _inside(found: list[str], table: pa.Table, roles: Mapping[str, str]) -> list[str]:
    """HDF5 paths with the data set and the row that other columns name."""
    empty = [""] * table.num_rows
    datasets = texts(table, roles["dataset"]) if "dataset" in roles else empty
    rows = texts(table, roles["row"]) if "row" in roles else empty
    located = []
    for path, dataset, row in zip(found, datasets, rows, strict=True):
        if not is_hdf5(path) or SEPARATOR in path:
            located.append(path)
            continue
        number = row.removesuffix(".0")
        if number and not number.isdigit():
            raise UserError(f"Column {roles['row']!r} holds {row!r}, which is no row number.")
        place = dataset + (f"[{number}]" if number else "")
        located.append(f"{path}{SEPARATOR}{place}" if place else path)
    return located


def _parse(name: str, value: str) -> Told | None:
    if not value:
        return None
    if name == "sampling_rate":
        rate = read_number(value)
        if not 0 < rate < math.inf:
            raise UserError(f"The sampling rate {value!r} is no positive number of Hz.")
        return rate
    if name == "unit":
        try:
            millivolts_per_unit(value)
        except SignalError as error:
            raise UserError(f"The {error}") from error
    if name == "leads":
        if value.lower() == "standard":
            return STANDARD_LEADS
        return tuple(lead.strip() for lead in value.replace(";", ",").split(","))
    return value
