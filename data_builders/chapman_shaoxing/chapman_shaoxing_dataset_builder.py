"""Chapman, Shaoxing and Ningbo: 45,152 12-lead ECGs with SNOMED CT diagnoses, in WFDB form."""

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
from deepecg_jax.data.tables import column_names, read_columns, require_column, texts
from deepecg_jax.errors import UserError
from deepecg_jax.labels import snomed
from deepecg_jax.signals.recording import Recording, SignalError

NAMES = "ConditionNames_SNOMED-CT.csv"


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download version 1.0.0 from https://physionet.org/content/ecg-arrhythmia/1.0.0/ and give "
        "the folder that holds WFDBRecords."
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
        """All headers named JS..., one patient each."""
        shares = parse_shares(self.options["shares"])
        headers = sorted(source.rglob("JS*.hea"), key=lambda path: (path.stem, str(path)))
        if not headers:
            raise UserError(f"{source} holds no record JS00001 and so on below it.")
        outside = _names_outside_the_list(source / NAMES)
        records = tuple(
            PlannedRecord(
                record_id=header.stem,
                patient_id=header.stem,
                split=hash_split(header.stem, shares),
                path=str(header.with_suffix("")),
                site=snomed.site_of(header.stem),
                reading={"names": outside},
            )
            for header in headers
        )
        return Plan(records)


def describe(record: PlannedRecord, recording: Recording) -> PlannedRecord:
    """Add age, sex and labels from the header's comments; SignalError without a Dx line."""
    comments = recording.meta["comments"]
    if "dx" not in comments:
        raise SignalError("read", "no_diagnosis", f"{record.path}.hea has no line '# Dx:'.")
    codes = {code.strip().lstrip("0") for code in comments["dx"].split(",")} - {""}
    age, counts = parse_age(comments.get("age", ""))
    names = record.reading["names"]
    strange = sorted(codes - {code.code for code in snomed.codes()})
    return replace(
        record,
        labels=snomed.labels_of(codes, record.site),
        age=age,
        sex=parse_sex(comments.get("sex", "")),
        counts=(*counts, *(f"code_outside_the_list:{names.get(c, c)}" for c in strange)),
    )


def _names_outside_the_list(path: Path) -> dict[str, str]:
    """Code -> full name, for codes that the Challenge's list does not have."""
    if not path.is_file():
        return {}
    wanted = ("Full Name", "Snomed_CT")
    there = column_names(path)
    for name in wanted:
        require_column(name, there, path, "names of codes")
    table = read_columns(path, wanted)
    known = {code.code for code in snomed.codes()}
    codes = (code.lstrip("0").removesuffix(".0") for code in texts(table, "Snomed_CT"))
    pairs = zip(codes, texts(table, "Full Name"), strict=True)
    return {code: name for code, name in pairs if code and code not in known}
