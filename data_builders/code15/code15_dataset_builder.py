"""CODE-15 %: 345,779 ECGs of the Telehealth Network of Minas Gerais with six abnormalities."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import tensorflow_datasets as tfds

from deepecg_jax.data.building.builder import EcgBuilder
from deepecg_jax.data.building.examples import examples_from
from deepecg_jax.data.options import SHARES, BuildOptions, Option
from deepecg_jax.data.records import Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.splits import hash_split
from deepecg_jax.data.tables.follow_up import stated_follow_up
from deepecg_jax.data.tables.label_columns import label_values
from deepecg_jax.data.tables.read import column_names, read_columns, require_column, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labels import code15
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.people import parse_age
from deepecg_jax.signals.reading.fairseq_mat import read_fairseq_mat
from deepecg_jax.signals.reading.hdf5 import SEPARATOR, close_files, read_hdf5, read_rows
from deepecg_jax.signals.recording import Recording, SignalError

TABLES = ("exams.csv", "meta.csv")
RATE, UNIT = 400.0, "mV"
_FLAGS = (*code15.ABNORMALITIES, code15.NORMAL)
_SEX = {"true": "male", "1": "male", "false": "female", "0": "female"}


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download exams.csv and some or all of exams_part0.zip to exams_part17.zip from "
        "https://zenodo.org/records/4916206, unzip them, and give the folder with exams.csv and "
        "the .hdf5 files."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (SHARES,)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``code15:X`` for the six abnormalities and ``normal_ecg``, and what they define."""
        return code15.label_names()

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: BuildOptions
    ) -> Iterator[Example | Reject]:
        """Rows of HDF5 parts or loose files, without the zeros they were padded with."""
        try:
            yield from examples_from(records, options.standardisation, read)
        finally:
            close_files()

    def plan(self, source: Path) -> Plan:
        """The rows of exams.csv whose tracings are there, in its order."""
        shares = self.options[SHARES]
        path, table = _exams(source)
        exams = texts(table, "exam_id")
        places, absent_parts = _places(source, table, path)
        ages, sexes = texts(table, "age"), texts(table, "is_male")
        flags = _flags(table, path)
        follow_ups = _follow_ups(table)
        records, rejects = [], []
        counts: Counter[str] = Counter()
        for i, (exam, patient) in enumerate(zip(exams, texts(table, "patient_id"), strict=True)):
            if not places[i]:
                if absent_parts[i]:
                    counts["exams_in_parts_that_are_not_there"] += 1
                else:
                    message = f"exam {exam} of {path.name} is in no file"
                    rejects.append(Reject(str(source), exam, "read", "missing_file", message))
                continue
            age, repairs = parse_age(ages[i])
            days, event, more = follow_ups[i]
            records.append(
                PlannedRecord(
                    record_id=exam,
                    patient_id=patient or f"exam-{exam}",
                    split=hash_split(patient or f"exam-{exam}", shares),
                    path=places[i],
                    labels=code15.labels_of(dict(zip(_FLAGS, flags[i].tolist(), strict=True))),
                    age=age,
                    sex=_SEX.get(sexes[i].lower(), "unknown"),
                    site="Telehealth Network of Minas Gerais",
                    time_days=days,
                    event=event,
                    counts=(*repairs, *more),
                )
            )
        return Plan(tuple(records), tuple(rejects), dict(counts))


def read(record: PlannedRecord) -> Recording:
    """One tracing in millivolts; SignalError if it is empty or cannot be read."""
    if SEPARATOR in record.path:
        recording = read_hdf5(record.path, sampling_rate=RATE, unit=UNIT, leads=STANDARD_LEADS)
    else:
        recording = read_fairseq_mat(record.path, unit=UNIT)
    return strip_zeros(recording)


def strip_zeros(recording: Recording) -> Recording:
    """Without the samples at both ends at which all leads are exactly zero.

    Recordings of 7 and 10 s were padded on both sides to 4096 samples.
    """
    used = np.flatnonzero(np.any(recording.signal != 0, axis=1))
    if not used.size:
        raise SignalError("check", "empty", "all samples of the tracing are zero.")
    return dataclasses.replace(recording, signal=recording.signal[used[0] : used[-1] + 1])


def _exams(source: Path) -> tuple[Path, pa.Table]:
    path = next((source / name for name in TABLES if (source / name).is_file()), None)
    if path is None:
        raise UserError(f"{source} has no exams.csv (or meta.csv); it must be CODE-15's folder.")
    names = column_names(path)
    needed = ["exam_id", "patient_id", "age", "is_male", *code15.ABNORMALITIES]
    for name in needed:
        require_column(name, names, path, "builder code15")
    optional = (code15.NORMAL, "death", "timey", "trace_file", "save_file")
    table = read_columns(path, [*needed, *(name for name in optional if name in names)])
    if not table.num_rows:
        raise UserError(f"{path} has no rows.")
    return path, table


def _places(source: Path, table: pa.Table, path: Path) -> tuple[list[str], list[bool]]:
    """Where each exam is ("" nowhere), and whether that is because its part is absent."""
    exams = texts(table, "exam_id")
    parts = {file.name: file for file in sorted(source.rglob("*.hdf5"))}
    if parts and "trace_file" in table.column_names:
        rows = {
            name: {
                str(int(exam)): row
                for row, exam in enumerate(read_rows(file, "exam_id").reshape(-1).tolist())
            }
            for name, file in parts.items()
        }
        places, absent = [], []
        for exam, part in zip(exams, texts(table, "trace_file"), strict=True):
            row = rows.get(part, {}).get(exam)
            places.append("" if row is None else f"{parts[part]}{SEPARATOR}tracings[{row}]")
            absent.append(part not in parts)
        return places, absent
    loose = {file.name: file for file in sorted(source.rglob("*.mat"))}
    if not loose:
        raise UserError(
            f"{source} has {path.name}, but no exams_part*.hdf5 (and no .mat files); unzip the "
            "parts into it."
        )
    names = (
        texts(table, "save_file")
        if "save_file" in table.column_names
        else [f"code_15_{exam}.mat" for exam in exams]
    )
    return [str(loose.get(name, "")) for name in names], [False] * len(names)


def _flags(table: pa.Table, path: Path) -> np.ndarray:
    """int8 (exams, 7): the six abnormalities and normal_ecg, -1 unknown."""
    columns = []
    for name in _FLAGS:
        if name not in table.column_names:
            columns.append(np.full(table.num_rows, -1, np.int8))
            continue
        values, strange = label_values(table.column(name))
        if strange is not None:
            raise UserError(f"{path}: column {name!r} holds {strange!r}, not True or False.")
        columns.append(values)
    return np.stack(columns, axis=1)


def _follow_ups(table: pa.Table) -> list[tuple[float, int, tuple[str, ...]]]:
    """Days to death or to the last news; only a patient's first exam has them.

    ``timey`` is days / 365: its values are whole numbers of days after multiplication by 365.
    """
    if not {"death", "timey"} <= set(table.column_names):
        return [(math.nan, -1, ())] * table.num_rows
    found = []
    for years, death in zip(texts(table, "timey"), texts(table, "death"), strict=True):
        try:
            days = str(round(float(years) * 365, 2)) if years else ""
        except ValueError:
            days = years
        found.append(stated_follow_up(days, death))
    return found
