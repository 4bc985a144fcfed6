"""MIMIC-IV-ECG: 800,035 ECGs of 161,352 patients with the statements of the recording machines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import tensorflow_datasets as tfds

from deepecg_jax.data.building.wfdb_builder import WfdbBuilder
from deepecg_jax.data.options import SHARES, Option, file
from deepecg_jax.data.records import Plan, PlannedRecord
from deepecg_jax.data.splits import hash_split
from deepecg_jax.data.tables.dates import read_dates
from deepecg_jax.data.tables.read import column_names, read_columns, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labels import muse
from deepecg_jax.signals.people import parse_age, parse_sex
from deepecg_jax.signals.recording import Recording

RECORDS, MEASUREMENTS = "record_list.csv", "machine_measurements.csv"
_OVER_89 = 91  # MIMIC-IV's anchor_age of everybody older than 89


PATIENTS_TABLE = file(
    "patients_table",
    "patients.csv or patients.csv.gz of MIMIC-IV, for age and sex (credentialed access)",
)
_NOBODY: tuple[float, str, tuple[str, ...]] = (math.nan, "unknown", ())


@dataclass(frozen=True)
class Person:
    """A row of MIMIC-IV's patients.csv: dates are shifted, ages hold in the anchor year."""

    sex: str
    anchor_age: int
    anchor_year: int

    def at(self, date: datetime | None) -> tuple[float, str, tuple[str, ...]]:
        """Age in years at a date, sex, and repairs."""
        if self.anchor_age == _OVER_89:
            return 90.0, self.sex, ("age_over_89",)
        if date is None:
            return math.nan, self.sex, ()
        age, counts = parse_age(str(self.anchor_age + date.year - self.anchor_year))
        return age, self.sex, counts


class Builder(WfdbBuilder):
    """See README.md beside this file; leads go by name, as the files have aVF before aVL."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download MIMIC-IV-ECG 1.0 from https://physionet.org/content/mimic-iv-ecg/1.0/ and give "
        "the folder that holds record_list.csv, machine_measurements.csv and files."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (SHARES, PATIENTS_TABLE)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """The machine's verdict, and the findings that its statements define."""
        return muse.label_names()

    def plan(self, source: Path) -> Plan:
        """The rows of record_list.csv, in its order."""
        shares = self.options[SHARES]
        table = _read(source / RECORDS, ("subject_id", "study_id", "path", "ecg_time"))
        reports, carts = _reports(source / MEASUREMENTS)
        people = self._people()
        subjects, studies = texts(table, "subject_id"), texts(table, "study_id")
        paths, times = texts(table, "path"), texts(table, "ecg_time")
        dates, _ = read_dates(times, "ecg_time")
        records, without = [], 0
        for subject, study, path, date in zip(subjects, studies, paths, dates, strict=True):
            age, sex, counts = people[subject].at(date) if subject in people else _NOBODY
            without += study not in reports
            records.append(
                PlannedRecord(
                    record_id=study,
                    patient_id=subject,
                    split=hash_split(subject, shares),
                    path=str(source / path),
                    age=age,
                    sex=sex,
                    site="Beth Israel Deaconess Medical Center",
                    device=carts.get(study, ""),
                    report=reports.get(study, ""),
                    counts=counts,
                )
            )
        notes = (
            ()
            if people
            else (
                "Age and sex are unknown: they are in MIMIC-IV's patients.csv, which --option "
                "patients_table=FILE reads.",
            )
        )
        return Plan(tuple(records), (), {"ecgs_without_report": without} if without else {}, notes)

    @classmethod
    def describe(cls, record: PlannedRecord, recording: Recording) -> PlannedRecord:
        """Add the labels that the machine's statements define."""
        return replace(record, labels=muse.labels_of(record.report.splitlines()))

    def _people(self) -> dict[str, Person]:
        path = self.options[PATIENTS_TABLE]
        if path is None:
            return {}
        columns = ("subject_id", "gender", "anchor_age", "anchor_year")
        table = _read(path, columns)
        rows = zip(*(texts(table, name) for name in columns), strict=True)
        try:
            return {
                subject: Person(parse_sex(sex)[0], int(age), int(year))
                for subject, sex, age, year in rows
            }
        except ValueError as error:
            raise UserError(
                f"{path} has an anchor_age or anchor_year that is no number."
            ) from error


def _reports(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Statements of each study, one a line, and the cart that recorded it."""
    names = [name for name in column_names(path) if name.startswith("report_")]
    names.sort(key=lambda name: int(name.removeprefix("report_")))
    if not names:
        raise UserError(f"{path} has no column report_0; is it MIMIC-IV-ECG's own file?")
    table = _read(path, ("study_id", "cart_id", *names))
    studies = texts(table, "study_id")
    columns = [texts(table, name) for name in names]
    statements = ["\n".join(filter(None, row)) for row in zip(*columns, strict=True)]
    carts = (f"cart {cart}" if cart else "" for cart in texts(table, "cart_id"))
    return dict(zip(studies, statements, strict=True)), dict(zip(studies, carts, strict=True))


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    if not path.is_file():
        raise UserError(f"{path} does not exist; the source must be MIMIC-IV-ECG's folder.")
    missing = set(columns) - set(column_names(path))
    if missing:
        raise UserError(f"{path} has no column {min(missing)!r}; is it MIMIC's own file?")
    return read_columns(path, columns)
