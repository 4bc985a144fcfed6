"""Two models' predictions of the same records, joined."""

from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import TypedDict

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions


class Matched(TypedDict):
    """How many records two tables have, share and do not share, and findings of only one."""

    n_a: int
    n_b: int
    n_matched: int
    only_in_a: int
    only_in_b: int
    findings_only_in_a: list[str]
    findings_only_in_b: list[str]


@dataclass(frozen=True)
class Pair:
    """What two tables have in common, record by record and finding by finding.

    Attributes:
        table: the common records and findings, with A's scores.
        b_scores: (N, C) B's scores.
        about: how many records and findings they share.
    """

    table: Predictions
    b_scores: np.ndarray
    about: Matched


def pair(a: Predictions, b: Predictions, name_a: str = "A", name_b: str = "B") -> Pair:
    """Join by record_id, in A's order.

    A label that only one table knows holds for both.

    Raises:
        UserError: no common record or finding, or the tables disagree on a label, a patient or a
            weight.
    """
    where = {record: row for row, record in enumerate(b.record_id)}
    in_b = np.array([where.get(record, -1) for record in a.record_id], np.int64)
    rows_a = np.flatnonzero(in_b >= 0)
    rows_b = in_b[rows_a]
    names = [name for name in a.names if name in b.names]
    if not len(rows_a):
        raise UserError(
            f"{name_a} and {name_b} have no record_id in common, so there is nothing to compare; "
            "predict the same records with both models."
        )
    if not names:
        raise UserError(f"{name_a} and {name_b} have no finding in common.")
    columns_a, columns_b = (np.array([p.names.index(name) for name in names]) for p in (a, b))
    labels_a = a.labels[np.ix_(rows_a, columns_a)]
    labels_b = b.labels[np.ix_(rows_b, columns_b)]
    differ = (labels_a >= 0) & (labels_b >= 0) & (labels_a != labels_b)
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise UserError(
            f"{name_a} and {name_b} disagree on {int(differ.sum()):,} labels (first '"
            f"{names[column]}' of record {a.record_id[rows_a[row]]}: {labels_a[row, column]} and "
            f"{labels_b[row, column]}); use one set of labels."
        )
    table = Predictions(
        names=tuple(names),
        labels=np.where(labels_a >= 0, labels_a, labels_b),
        scores=a.scores[np.ix_(rows_a, columns_a)],
        record_id=a.record_id[rows_a],
        patient_id=_same_patients(a, b, rows_a, rows_b, name_a, name_b),
        age=a.age[rows_a],
        sex=a.sex[rows_a],
        extra={key: np.asarray(values)[rows_a] for key, values in a.extra.items()},
        weight=None if a.weight is None else a.weight[rows_a],
    )
    weight_b = None if b.weight is None else b.weight[rows_b]
    if table.weight is None:
        table = replace(table, weight=weight_b)
    elif weight_b is not None and not np.array_equal(table.weight, weight_b):
        raise UserError(f"{name_a} and {name_b} give the same records different weights.")
    about: Matched = {
        "n_a": len(a),
        "n_b": len(b),
        "n_matched": len(rows_a),
        "only_in_a": len(a) - len(rows_a),
        "only_in_b": len(b) - len(rows_a),
        "findings_only_in_a": [name for name in a.names if name not in b.names],
        "findings_only_in_b": [name for name in b.names if name not in a.names],
    }
    return Pair(table, b.scores[np.ix_(rows_b, columns_b)], about)


def _same_patients(
    a: Predictions, b: Predictions, rows_a: np.ndarray, rows_b: np.ndarray, name_a: str, name_b: str
) -> np.ndarray:
    one, other = a.patient_id[rows_a], b.patient_id[rows_b]
    differ = (one != "") & (other != "") & (one != other)
    if differ.any():
        at = int(differ.argmax())
        raise UserError(
            f"Record {a.record_id[rows_a[at]]} belongs to patient {one[at]} in {name_a} but to "
            f"{other[at]} in {name_b} ({int(differ.sum()):,} such records); use one set of ids."
        )
    return np.where(one != "", one, other).astype(object)
