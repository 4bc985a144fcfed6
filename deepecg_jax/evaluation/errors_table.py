"""The most confident errors: where a model and a label disagree most."""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.predictions import Predictions


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
        rows, columns = np.nonzero(predictions.labels == label)
        scores = predictions.scores[rows, columns]
        order = np.argsort(scores if label else -scores, kind="stable")
        patients: set[str] = set()
        findings: dict[int, int] = {}
        half: list[ConfidentError] = []
        for i in order:
            row, column = int(rows[i]), int(columns[i])
            patient = str(predictions.patient_id[row]) or f"row {row}"
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
                    float(scores[i]),
                )
            )
            if len(half) == each:
                break
        found += half
    return found
