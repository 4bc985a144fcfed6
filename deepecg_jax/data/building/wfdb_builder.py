"""Builders of sources in WFDB form, whose headers say who was recorded and with what diagnosis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.data.building.builder import EcgBuilder
from deepecg_jax.data.building.examples import wfdb_examples
from deepecg_jax.data.options import BuildOptions
from deepecg_jax.data.records import Example, PlannedRecord, Reject
from deepecg_jax.data.splits import hash_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.people import age_and_sex_of_comments
from deepecg_jax.signals.recording import Recording, SignalError


class WfdbBuilder(EcgBuilder, skip_registration=True):
    """A builder whose planned records point to WFDB files (``path`` without extension)."""

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: BuildOptions
    ) -> Iterator[Example | Reject]:
        """The files, completed by ``describe``."""
        return wfdb_examples(records, options.standardisation, cls.describe)

    @classmethod
    def describe(cls, record: PlannedRecord, recording: Recording) -> PlannedRecord:
        """What the file says beside its samples; a source whose tables say all needs nothing.

        May raise SignalError, which rejects the record.
        """
        return record


def find_headers(source: Path, pattern: str, absent: str) -> list[Path]:
    """WFDB headers below a folder, by name (and by path where a name stands twice).

    UserError ``SOURCE holds ABSENT.`` if there is none.
    """
    headers = sorted(source.rglob(pattern), key=lambda path: (path.stem, str(path)))
    if not headers:
        raise UserError(f"{source} holds {absent}.")
    return headers


def planned_header(
    header: Path,
    patient_id: str,
    shares: Sequence[float],
    site: str,
    reading: Mapping[str, Any] | None = None,
) -> PlannedRecord:
    """The record of a header, in the split of its patient's hash."""
    return PlannedRecord(
        record_id=header.stem,
        patient_id=patient_id,
        split=hash_split(patient_id, shares),
        path=str(header.with_suffix("")),
        site=site,
        reading=reading or {},
    )


def diagnosis_codes(record: PlannedRecord, recording: Recording) -> set[str]:
    """Codes of the header's comment ``Dx``; SignalError (``no_diagnosis``) without that line."""
    comments = recording.meta.get("comments", {})
    if "dx" not in comments:
        raise SignalError("read", "no_diagnosis", f"{record.path}.hea has no line '# Dx:'.")
    return {code.strip() for code in comments["dx"].split(",")} - {""}


def described_by_header(
    record: PlannedRecord,
    recording: Recording,
    labels: np.ndarray,
    counts: Sequence[str] = (),
    report: str = "",
    over_89: float | None = None,
) -> PlannedRecord:
    """The record with labels, and with age and sex of the header's comments.

    Args:
        record: as planned.
        recording: with ``meta["comments"]``.
        labels: int8, in the order of the builder's label names.
        counts: what else was noticed.
        report: what the header says in words.
        over_89: the source's code for an age over 89.
    """
    comments = recording.meta.get("comments", {})
    age, sex, repairs = age_and_sex_of_comments(comments, over_89)
    return replace(
        record,
        labels=labels,
        age=age,
        sex=sex,
        report=report,
        counts=(*repairs, *counts),
    )
