"""PhysioNet/CinC Challenge 2021: 12-lead ECGs of six sources with SNOMED CT diagnoses."""

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
from deepecg_jax.labels import snomed
from deepecg_jax.signals.recording import Recording


class Builder(WfdbBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download the training data from https://physionet.org/content/challenge-2021/1.0.3/ and "
        "give its folder, or the folder of one source; .hea and .mat files are searched below it."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (SHARES,)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``snomed:CODE`` for the Challenge's 133 codes, and the findings they define."""
        return snomed.label_names()

    def plan(self, source: Path) -> Plan:
        """All headers below the folder, by name; the Challenge gives no patient ids."""
        shares = self.options[SHARES]
        absent = "no .hea file of the PhysioNet/CinC Challenge 2021"
        records = tuple(
            planned_header(header, header.stem, shares, snomed.site_of(header.stem))
            for header in find_headers(source, "*.hea", absent)
        )
        note = (
            "The Challenge has no patient ids: every ECG counts as a patient of its own, and the "
            "few patients with several ECGs (HR records of PTB-XL above all) may be in two splits; "
            "use builder ptb_xl for PTB-XL itself."
        )
        return Plan(records, (), {}, (note,))

    @classmethod
    def describe(cls, record: PlannedRecord, recording: Recording) -> PlannedRecord:
        """Add age, sex and labels from the header's comments."""
        codes = diagnosis_codes(record, recording)
        counts = []
        if codes - {code.code for code in snomed.codes()}:
            counts.append("code_outside_the_challenge_list")
        if not record.site:
            counts.append("unknown_site")
        labels = snomed.labels_of(codes, record.site)
        return described_by_header(record, recording, labels, counts, over_89=300)
