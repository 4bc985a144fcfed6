"""PTB Diagnostic ECG Database: 549 recordings of 290 people with 15 leads at 1000 Hz."""

import re
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from deepecg_jax.data.building.wfdb_builder import (
    WfdbBuilder,
    described_by_header,
    find_headers,
    planned_header,
)
from deepecg_jax.data.options import SHARES, Option
from deepecg_jax.data.records import Plan, PlannedRecord
from deepecg_jax.labels import ptb
from deepecg_jax.signals.recording import Recording

SITE = "Physikalisch-Technische Bundesanstalt"
_PATIENT = re.compile(r"patient\d+")
_SAID = (
    ("reason for admission", ""),
    ("acute infarction (localization)", "acute infarction: "),
    ("former infarction (localization)", "former infarction: "),
    ("additional diagnoses", "also: "),
)


class Builder(WfdbBuilder):
    """See README.md beside this file; the Frank leads are no standard leads and are left out."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download version 1.0.0 from https://physionet.org/content/ptbdb/1.0.0/ and give the "
        "folder that holds patient001 to patient294."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (SHARES,)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``ptb:X`` for the diagnostic classes."""
        return ptb.label_names()

    def plan(self, source: Path) -> Plan:
        """All headers below the folder, by name; the patient is the folder a header is in."""
        shares = self.options[SHARES]
        absent = "no .hea file of the PTB Diagnostic ECG Database"
        records, homeless = [], 0
        for header in find_headers(source, "*.hea", absent):
            folder = header.parent.name
            patient = folder if _PATIENT.fullmatch(folder) else header.stem
            homeless += patient == header.stem
            records.append(planned_header(header, patient, shares, SITE))
        notes = (
            f"{homeless} of {len(records)} recordings lie in no folder patientNNN: each counts as "
            "a patient of its own, and a patient with several recordings may be in two splits.",
        )
        return Plan(tuple(records), notes=notes if homeless else ())

    @classmethod
    def describe(cls, record: PlannedRecord, recording: Recording) -> PlannedRecord:
        """Add age, sex, diagnosis and what else the header's comments say of the diagnosis."""
        comments = recording.meta.get("comments", {})
        reason = comments.get("reason for admission", "")
        diagnosis = ptb.diagnosis_of(reason)
        counts = []
        if not diagnosis:
            stated = reason.lower() not in ("", "n/a")
            counts.append(f"diagnosis_not_known:{reason}" if stated else "no_diagnosis")
        said = ((words, comments.get(key, "")) for key, words in _SAID)
        report = "; ".join(
            f"{words}{text}" for words, text in said if text and text.lower() not in ("n/a", "no")
        )
        return described_by_header(record, recording, ptb.labels_of(diagnosis), counts, report)
