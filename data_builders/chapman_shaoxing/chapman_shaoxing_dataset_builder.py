"""Chapman, Shaoxing and Ningbo: 45,152 12-lead ECGs with SNOMED CT diagnoses, in WFDB form."""

from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from deepecg_jax.data.building.wfdb_builder import (
    WfdbBuilder,
    described_by_header,
    diagnosis_codes,
    find_headers,
    planned_header,
)
from deepecg_jax.data.options import SHARES, Option
from deepecg_jax.data.records import Plan, PlannedRecord
from deepecg_jax.data.tables.read import column_names, read_columns, require_column, texts
from deepecg_jax.labels import snomed
from deepecg_jax.signals.recording import Recording

NAMES = "ConditionNames_SNOMED-CT.csv"


class Builder(WfdbBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download version 1.0.0 from https://physionet.org/content/ecg-arrhythmia/1.0.0/ and give "
        "the folder that holds WFDBRecords."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (SHARES,)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``snomed:CODE`` for the Challenge's 133 codes, and the findings they define."""
        return snomed.label_names()

    def plan(self, source: Path) -> Plan:
        """All headers named JS..., one patient each."""
        shares = self.options[SHARES]
        headers = find_headers(source, "JS*.hea", "no record JS00001 and so on below it")
        names = {"names": _names_outside_the_list(source / NAMES)}
        return Plan(
            tuple(
                planned_header(header, header.stem, shares, snomed.site_of(header.stem), names)
                for header in headers
            )
        )

    @classmethod
    def describe(cls, record: PlannedRecord, recording: Recording) -> PlannedRecord:
        """Add age, sex and labels from the header's comments."""
        codes = {code.lstrip("0") for code in diagnosis_codes(record, recording)} - {""}
        names = record.reading["names"]
        strange = sorted(codes - {code.code for code in snomed.codes()})
        counts = [f"code_outside_the_list:{names.get(code, code)}" for code in strange]
        labels = snomed.labels_of(codes, record.site)
        return described_by_header(record, recording, labels, counts)


def _names_outside_the_list(path: Path) -> dict[str, str]:
    """Code -> full name, for codes that the Challenge's list does not have."""
    if not path.is_file():
        return {}
    wanted = ("Full Name", "Snomed_CT")
    there = column_names(path)
    for name in wanted:
        require_column(name, there, path, "the names of codes")
    table = read_columns(path, wanted)
    known = {code.code for code in snomed.codes()}
    codes = (code.lstrip("0").removesuffix(".0") for code in texts(table, "Snomed_CT"))
    pairs = zip(codes, texts(table, "Full Name"), strict=True)
    return {code: name for code, name in pairs if code and code not in known}
