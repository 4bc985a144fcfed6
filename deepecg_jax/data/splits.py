"""Which split a patient's ECGs belong to, and the guard that no patient is in two of them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from deepecg_jax.data.records import SPLITS, PlannedRecord
from deepecg_jax.errors import UserError

Shares = tuple[float, float, float]
"""Fractions of train, validation and test, which sum to one."""
PatientRule = Literal["error", "first"]
"""What becomes of a patient in two splits."""


def parse_shares(text: str) -> Shares:
    """``80/10/10`` -> fractions of train, validation and test that sum to one.

    Raises UserError unless these are three non-negative numbers with a positive sum.
    """
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    if (
        len(shares) != 3
        or not all(0 <= share < float("inf") for share in shares)
        or not sum(shares)
    ):
        raise UserError(
            f"Option shares is {text!r}, but must be three numbers for train, validation and test "
            "such as 80/10/10."
        )
    total = sum(shares)
    return shares[0] / total, shares[1] / total, shares[2] / total


def hash_split(patient_id: str, shares: Sequence[float]) -> str:
    """Split of a patient: a fixed function of the patient's id alone, equal on every machine."""
    digest = hashlib.blake2b(patient_id.encode(), digest_size=8, person=b"deepecg split").digest()
    position = int.from_bytes(digest, "big") / 2**64
    for split, share in zip(SPLITS, shares, strict=True):
        if position < share:
            return split
        position -= share
    return max(zip(shares, SPLITS, strict=True))[1]  # rounding: the sum of shares was just below 1


def record_order(record_id: str) -> bytes:
    """Sort key that spreads records over shards independently of the source's order."""
    return hashlib.blake2b(record_id.encode(), digest_size=16, person=b"deepecg order").digest()


def check_unique(records: Sequence[PlannedRecord]) -> None:
    """UserError when two recordings have the same record id."""
    seen: dict[str, PlannedRecord] = {}
    for record in records:
        first = seen.setdefault(record.record_id, record)
        if first is not record and first.path == record.path:
            raise UserError(
                f"Record id {record.record_id!r} stands twice for the file {record.path}, with "
                "different metadata; keep one row."
            )
        if first is not record:
            raise UserError(
                f"Two recordings have the record id {record.record_id!r}: {first.path} and "
                f"{record.path}; remove one or give it another id."
            )


def keep_patients_apart(
    records: Sequence[PlannedRecord], rule: PatientRule = "error"
) -> tuple[tuple[PlannedRecord, ...], int]:
    """Make sure that no patient is in two splits.

    Args:
        records: all recordings in the source's order.
        rule: ``error`` refuses; ``first`` moves all recordings of such a patient to the split of
            the patient's first recording.

    Returns:
        The recordings, and how many of them were moved.

    Raises:
        UserError: a patient is in two splits and the rule is ``error``.
    """
    home: dict[str, str] = {}
    strays: Counter[str] = Counter()
    moved = 0
    kept = []
    for record in records:
        split = home.setdefault(record.patient_id, record.split)
        if split != record.split:
            strays[record.patient_id] += 1
            moved += 1
            record = replace(record, split=split)
        kept.append(record)
    if strays and rule == "error":
        patient = next(iter(strays))
        splits = {record.split for record in records if record.patient_id == patient}
        others = f" and {len(strays) - 1} other patients" if len(strays) > 1 else ""
        raise UserError(
            f"Patient {patient!r} is in the splits {' and '.join(sorted(splits))}{others}; correct "
            "the split column or folds, or build with --option patients=first to put all ECGs of "
            "such a patient into the split of the first one."
        )
    return tuple(kept), moved
