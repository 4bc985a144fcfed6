"""Your own ECGs: a table with a path column, or a folder of files, in any readable format."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import tensorflow_datasets as tfds

from deepecg_jax.data.building.builder import EcgBuilder
from deepecg_jax.data.building.examples import examples_from
from deepecg_jax.data.options import SHARES, BuildOptions, Option, text
from deepecg_jax.data.records import UNLABELLED, Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.tables.folders import (
    FROM_FILE,
    FROM_FOLDER,
    find_files,
    not_taken,
    patients_of_files,
    patients_of_folders,
)
from deepecg_jax.data.tables.follow_up import follow_ups
from deepecg_jax.data.tables.label_columns import (
    choose_columns,
    label_name,
    label_values,
    read_labels,
)
from deepecg_jax.data.tables.people import ages, sexes
from deepecg_jax.data.tables.read import column_names, read_columns, texts
from deepecg_jax.data.tables.recordings import ReadingOptions, describe, read_planned
from deepecg_jax.data.tables.roles import ROLES, columns_of_roles, find_table, overlooked
from deepecg_jax.data.tables.rows import filled_rows, ids, repeated_rows, splits_of_rows
from deepecg_jax.errors import UserError
from deepecg_jax.labels import muse
from deepecg_jax.signals.reading.hdf5 import close_files

AUTO, STATEMENTS = "auto", "statements"
_COLUMN = "column of the table (default: the one of this name, if there is one; none: no column)"
TABLE = text("table", "", "file name of the table, if the source holds several")
FILES = text("files", "", "without a table: which files are ECGs, such as *.xml")
ENCODING = text("encoding", "utf-8", "of a CSV table, such as latin-1")
ROLE = {role: text(role, "", _COLUMN) for role in ROLES}
LABELS = text(
    "labels",
    AUTO,
    "names of label columns, or patterns such as label:*; none; statements: findings that "
    "GE's machine statements in the report define",
)


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give a folder of ECG files, or one with a CSV or Parquet table whose column path names "
        "them, or that table; data_builders/table/README.md describes columns and options."
    )
    TAKES_A_FILE = True
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (
        *(TABLE, FILES, ENCODING, *ROLE.values(), LABELS, SHARES),
        text("sex_codes", "", "what codes mean, such as 0=male,1=female"),
        text("age_over_89", "", "the code for an age over 89, such as 300"),
        text("date_format", "", "form of all dates, such as %d/%m/%Y"),
        # each a constant or a column: which, only the table says
        text("sampling_rate", "", "Hz, or a column, for files that do not state it"),
        text("unit", "", "mV, uV or V, or a column, for files that do not state it"),
        text("leads", "", "I,II,... or standard, or a column, for files that do not state them"),
    )

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """None of its own: the labels are those of the table, see ``source_labels``."""
        return ()

    @property
    def source_labels(self) -> tuple[str, ...]:
        """The label columns of the table, without ``label:``, or what statements define."""
        if self._from_statements:
            return muse.label_names()
        return tuple(label_name(column) for column in self._labelled[0]) or (UNLABELLED,)

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: BuildOptions
    ) -> Iterator[Example | Reject]:
        """Files by their extension; what the table leaves open is taken from the file."""
        try:
            yield from examples_from(records, options.standardisation, read_planned, describe)
        finally:
            close_files()

    @cached_property
    def _path(self) -> Path:
        """The table; the folder itself if there is none."""
        if self.source is None:
            raise UserError("Builder table needs --source, a folder of ECGs or a table of them.")
        if self.options[FILES] and self.source.is_dir():
            return self.source
        table, column = self.options[TABLE], self.options[ROLE["path"]]
        return find_table(self.source, table, column, self.options[ENCODING]) or self.source

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._path.is_dir():
            return ("path",)
        return column_names(self._path, self.options[ENCODING])

    def _read(self, columns: Sequence[str]) -> pa.Table:
        if self._path.is_dir():
            return pa.table({"path": find_files(self._path, self.options[FILES])})
        return read_columns(self._path, columns, self.options[ENCODING])

    @cached_property
    def _roles(self) -> dict[str, str]:
        return columns_of_roles(self.options.texts, self._names, self._path)

    @cached_property
    def _reading(self) -> ReadingOptions:
        return ReadingOptions.of(self.options.texts, self._names)

    @cached_property
    def _overlooked(self) -> dict[str, str]:
        return overlooked(self.options.texts, self._roles, self._names)

    @property
    def _from_statements(self) -> bool:
        return self.options[LABELS] == STATEMENTS and STATEMENTS not in self._names

    @cached_property
    def _labelled(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Label columns and their values, int8 (number of rows, number of columns)."""
        used = {*self._roles.values(), *self._reading.columns}
        free = [name for name in self._names if name not in used]
        if self.options[LABELS] == AUTO:
            free = [name for name in free if name not in self._overlooked]
        option = self.options[LABELS]
        if option == "none" or self._from_statements:
            columns = []
        elif option == AUTO:
            columns = free
        else:
            columns = choose_columns(option, free, self._names, self._path)
        table = self._read(columns) if columns else None
        kept, values = [], []
        for column in columns:
            assert table is not None
            if option == AUTO:
                found, strange = label_values(table.column(column))
                if strange is not None or not (found >= 0).any():
                    continue
            else:
                found = read_labels(table, column, self._path)
            kept.append(column)
            values.append(found)
        twice = [n for n, k in Counter(label_name(column) for column in kept).items() if k > 1]
        if twice:
            raise UserError(f"{self._path}: two columns give the label {twice[0]!r}; name one.")
        return tuple(kept), np.stack(values, axis=1) if kept else np.empty((0, 0), np.int8)

    def plan(self, source: Path) -> Plan:
        """The rows of the table, in its order."""
        roles, path = self._roles, self._path
        labelled, values = self._labelled
        table = filled_rows(self._read([*roles.values(), *self._reading.columns]))
        if not table.num_rows:
            raise UserError(f"{path} has no rows.")
        folder = source if source.is_dir() else source.parent
        notes: list[str] = []
        files = self._reading.locations(table, roles, folder, notes)
        reading = self._reading.arguments(table, files)
        written = texts(table, roles["path"])
        stated = ids(table, roles.get("record_id"), path) or written
        names = [name or path for name, path in zip(stated, written, strict=True)]
        patients = self._patients(table, names, files, reading, notes)
        split, shares = roles.get("split"), self.options[SHARES]
        splits, counts, more = splits_of_rows(table, split, path, patients, shares)
        age = ages(table, roles, self.options.texts)
        sex = sexes(table, roles, self.options.texts, notes)
        follow_up = follow_ups(table, roles, self.options.texts)
        words = {
            role: texts(table, roles[role]) if role in roles else [""] * len(names)
            for role in ("site", "device", "report")
        }
        self._note_columns(labelled, notes)
        notes += more
        # statements are read with the file, which may hold the report
        unlabelled = None if self._from_statements else np.full(1, -1, np.int8)
        repeated = repeated_rows(names, table, values)
        counts |= {"rows_that_repeat_another": len(repeated)} if repeated else {}
        records, rejects = [], []
        for i in range(len(names)):
            if not files[i]:
                message = f"Row {i + 2} of {path} names no file."
                rejects.append(Reject(str(path), names[i], "read", "no_path", message))
            if not files[i] or not splits[i] or i in repeated:
                continue
            records.append(
                PlannedRecord(
                    record_id=names[i],
                    patient_id=patients[i],
                    split=splits[i],
                    path=files[i],
                    labels=values[i] if labelled else unlabelled,
                    age=age[i][0],
                    sex=sex[i][0],
                    site=words["site"][i],
                    device=words["device"][i],
                    report=words["report"][i],
                    time_days=follow_up[i][0],
                    event=follow_up[i][1],
                    counts=(*age[i][1], *sex[i][1], *follow_up[i][2]),
                    reading=reading[i],
                )
            )
        return Plan(tuple(records), tuple(rejects), counts, tuple(notes))

    def _patients(
        self,
        table: pa.Table,
        names: Sequence[str],
        files: Sequence[str],
        reading: Sequence[dict[str, Any]],
        notes: list[str],
    ) -> list[str]:
        column, stated = self._roles.get("patient_id"), self.options[ROLE["patient_id"]]
        if column is not None:
            found, who = ids(table, column, self._path), column
        elif stated == FROM_FOLDER:
            found, who = patients_of_folders(texts(table, self._roles["path"])), "a folder"
        elif stated == FROM_FILE:
            asked = [
                PlannedRecord(name, "", "", path, reading=told)
                for name, path, told in zip(names, files, reading, strict=True)
            ]
            found, who = patients_of_files(asked, os.cpu_count() or 1), "an id in their file"
        else:
            notes.append(
                "Nothing says who the patients are: every ECG counts as a patient of its own, and "
                "a patient with several ECGs may be in two splits (--option patient_id=COLUMN, "
                "file or folder)."
            )
            return list(names)
        absent = sum(not text for text in found)
        if absent:
            notes.append(f"{absent} ECGs without {who} count as patients of their own, one each.")
        return [text or f"ecg:{name}" for text, name in zip(found, names, strict=True)]

    def _note_columns(self, columns: Sequence[str], notes: list[str]) -> None:
        if self._from_statements:
            notes.append(
                "Labels are findings that machine statements in the reports define: what a program "
                "wrote, changed by a physician or not."
            )
        elif not columns:
            notes.append(f"The data set has no labels (its one label, {UNLABELLED}, is unknown).")
        elif self.options[LABELS] == AUTO:
            notes.append(
                "Columns that hold only 0, 1 and -1 (no, yes, unknown) are labels: "
                f"{_shown(columns)}; --option labels=... chooses others."
            )
        used = {*self._roles.values(), *self._reading.columns, *self._overlooked, *columns}
        unused = [name for name in self._names if name not in used]
        if unused and self.options[LABELS] == AUTO:
            notes.append(f"Columns without a use: {_shown(unused)}.")
        for column, role in self._overlooked.items():
            if column not in columns:
                notes.append(
                    f"Column {column!r} is not used; --option {role}={column} takes it as {role}."
                )
        if self._path.is_dir() and not self.options[FILES] and (left := not_taken(self._path)):
            notes.append(
                f"Files that are not taken for ECGs, by extension: {left} (--option files=*.xml or "
                "the like takes others)."
            )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
