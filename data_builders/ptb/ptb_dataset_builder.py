"""PTB Diagnostic ECG Database: 549 recordings of 290 people with 15 leads at 1000 Hz."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from deepecg_jax.data.builder import EcgBuilder
from deepecg_jax.data.examples import wfdb_examples
from deepecg_jax.data.options import Option
from deepecg_jax.data.people import parse_age, parse_sex
from deepecg_jax.data.records import Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.splits import hash_split, parse_shares
from deepecg_jax.errors import UserError
from deepecg_jax.labels import ptb
from deepecg_jax.signals.recording import Recording

_PATIENT = re.compile(r"patient\d+")
_SAID = (
    ("reason for admission", ""),
    ("acute infarction (localization)", "acute infarction: "),
    ("former infarction (localization)", "former infarction: "),
    ("additional diagnoses", "also: "),
)


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download version 1.0.0 from https://physionet.org/content/ptbdb/1.0.0/ and give the "
        "folder that holds patient001 to patient294."
    )
    OPTIONS: ClassVar[dict[str, Option]] = {
        "shares": Option("80/10/10", "shares of train/validation/test, by a hash of the patient"),
    }

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``ptb:X`` for the diagnostic classes."""
        return ptb.label_names()

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: Mapping[str, str]
    ) -> Iterator[Example | Reject]:
        """WFDB files; the Frank leads vx, vy, vz are no standard leads and are left out."""
        return wfdb_examples(records, options, describe)

    def plan(self, source: Path) -> Plan:
        """All headers below the folder, by name; the patient is the folder a header is in."""
        shares = parse_shares(self.options["shares"])
        headers = sorted(source.rglob("*.hea"), key=lambda path: (path.stem, str(path)))
        if not headers:
            raise UserError(f"{source} holds no .hea file of the PTB Diagnostic ECG Database.")
        records, homeless = [], 0
        for header in headers:
            folder = header.parent.name
            patient = folder if _PATIENT.fullmatch(folder) else header.stem
            homeless += patient == header.stem
            records.append(
                PlannedRecord(
                    record_id=header.stem,
                    patient_id=patient,
                    split=hash_split(patient, shares),
                    path=str(header.with_suffix("")),
                    site="Physikalisch-Technische Bundesanstalt",
                )
            )
        notes = (
            f"{homeless} of {len(records)} recordings lie in no folder patientNNN: each counts as "
            "a patient of its own, and a patient with several recordings may be in two splits.",
        )
        return Plan(tuple(records), notes=notes if homeless else ())


def describe(record: PlannedRecord, recording: Recording) -> PlannedRecord:
    """Add age, sex, diagnosis and what else the header's comments say of the diagnosis."""
    comments = recording.meta["comments"]
    age, counts = parse_age(comments.get("age", ""))
    reason = comments.get("reason for admission", "")
    diagnosis = ptb.diagnosis_of(reason)
    if not diagnosis:
        stated = reason.lower() not in ("", "n/a")
        counts = (*counts, f"diagnosis_not_known:{reason}" if stated else "no_diagnosis")
    said = ((words, comments.get(key, "")) for key, words in _SAID)
    report = "; ".join(
        f"{words}{text}" for words, text in said if text and text.lower() not in ("n/a", "no")
    )
    return replace(
        record,
        labels=ptb.labels_of(diagnosis),
        age=age,
        sex=parse_sex(comments.get("sex", "")),
        report=report,
        counts=counts,
    )
