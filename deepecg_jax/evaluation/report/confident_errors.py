"""The most confident errors: where a model and a label disagree most."""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.table.predictions import Predictions


@dataclass(frozen=True)
class ConfidentError:
    """One record and finding; ``label`` is what the table says, ``score`` what the model says."""

    record_id: str
    patient_id: str
    finding: str
    label: int
    score: float

    @property
    def kind(self) -> str:
        """``false positive`` or ``false negative``."""
        return "false negative" if self.label else "false positive"


def most_confident_errors(predictions: Predictions, each: int = 6) -> list[ConfidentError]:
    """The ``each`` highest scores without the finding and the ``each`` lowest with it.

    At most one record a patient and two a finding in either half, so that one odd patient or one
    ill-defined label does not fill the list. Ties go to the earlier row.
    """
    found = []
    for label in (0, 1):
        # a finding gives at most two, and at most each - 1 patients are taken by other findings
        candidates = [
            candidate
            for column in range(len(predictions.names))
            for candidate in _worst_of(predictions, column, label, each + 1)
        ]
        patients: set[str] = set()
        findings: dict[int, int] = {}
        half: list[ConfidentError] = []
        for _, row, column in sorted(candidates):
            patient = _patient(predictions, row)
            if patient in patients or findings.get(column, 0) >= 2:
                continue
            patients.add(patient)
            findings[column] = findings.get(column, 0) + 1
            half.append(
                ConfidentError(
                    str(predictions.record_id[row]),
                    str(predictions.patient_id[row]),
                    predictions.names[column],
                    label,
                    float(predictions.scores[row, column]),
                )
            )
            if len(half) == each:
                break
        found += half
    return found


def _worst_of(
    predictions: Predictions, column: int, label: int, patients: int
) -> list[tuple[float, int, int]]:
    """(how wrong, row, column) of a finding's worst record of each of its worst patients, the worst
    lowest; ties go to the earlier row."""
    rows = np.flatnonzero(predictions.labels[:, column] == label)
    wrong = predictions.scores[rows, column] * np.float32(1 if label else -1)
    size = 64
    while True:
        few = np.arange(len(rows))
        if size < len(rows):
            few = np.flatnonzero(wrong <= np.partition(wrong, size)[size])
        found: dict[str, tuple[float, int, int]] = {}
        for i in few[np.argsort(wrong[few], kind="stable")]:
            row = int(rows[i])
            found.setdefault(_patient(predictions, row), (float(wrong[i]), row, column))
            if len(found) == patients:
                return list(found.values())
        if len(few) == len(rows):
            return list(found.values())
        size *= 16


def _patient(predictions: Predictions, row: int) -> str:
    """Whose record it is; a record without a patient is its own."""
    return str(predictions.patient_id[row]) or f"row {row}"
