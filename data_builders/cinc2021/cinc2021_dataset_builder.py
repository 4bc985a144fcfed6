"""PhysioNet/CinC Challenge 2021: 12-lead ECGs of six sources with SNOMED CT diagnoses."""

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
from deepecg_jax.labels import snomed
from deepecg_jax.signals.recording import Recording, SignalError


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download the training data from https://physionet.org/content/challenge-2021/1.0.3/ and "
        "give its folder, or the folder of one source; .hea and .mat files are searched below it."
    )
    OPTIONS: ClassVar[dict[str, Option]] = {
        "shares": Option("80/10/10", "shares of train/validation/test, by a hash of the patient"),
    }

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """``snomed:CODE`` for the Challenge's 133 codes, and the findings they define."""
        return snomed.label_names()

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: Mapping[str, str]
    ) -> Iterator[Example | Reject]:
        """WFDB files whose headers carry age, sex and diagnoses."""
        return wfdb_examples(records, options, describe)

    def plan(self, source: Path) -> Plan:
        """All headers below the folder, by name; the Challenge gives no patient ids."""
        shares = parse_shares(self.options["shares"])
        headers = sorted(source.rglob("*.hea"), key=lambda path: (path.stem, str(path)))
        if not headers:
            raise UserError(f"{source} holds no .hea file of the PhysioNet/CinC Challenge 2021.")
        records = tuple(
            PlannedRecord(
                record_id=header.stem,
                patient_id=header.stem,
                split=hash_split(header.stem, shares),
                path=str(header.with_suffix("")),
                site=snomed.site_of(header.stem),
            )
            for header in headers
        )
        note = (
            "The Challenge has no patient ids: every ECG counts as a patient of its own, and the "
            "few patients with several ECGs (HR records of PTB-XL above all) may be in two splits; "
            "use builder ptb_xl for PTB-XL itself."
        )
        return Plan(records, (), {}, (note,))


def describe(record: PlannedRecord, recording: Recording) -> PlannedRecord:
    """Add age, sex and labels from the header's comments; SignalError without a Dx line."""
    comments = recording.meta["comments"]
    if "dx" not in comments:
        raise SignalError("read", "no_diagnosis", f"{record.path}.hea has no line '# Dx:'.")
    codes = {code.strip() for code in comments["dx"].split(",")} - {""}
    age, counts = parse_age(comments.get("age", ""), over_89=300)
    if codes - {code.code for code in snomed.codes()}:
        counts = (*counts, "code_outside_the_challenge_list")
    if not record.site:
        counts = (*counts, "unknown_site")
    return replace(
        record,
        labels=snomed.labels_of(codes, record.site),
        age=age,
        sex=parse_sex(comments.get("sex", "")),
        counts=counts,
    )
