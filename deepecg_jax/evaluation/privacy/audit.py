"""The records of an audit: who was in the training data, and what the model says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.logistic import logit
from deepecg_jax.evaluation.table.predictions import UNKNOWN, Predictions


@dataclass(frozen=True)
class Audit:
    """Members and non-members of one model's training data.

    Attributes:
        names: the C findings.
        record_id, patient_id: (M,) text.
        member: (M,) bool.
        labels: (M, C) int8, -1 unknown.
        scores: (M, C) in 0..1.
        patients_in_both: patients with records on both sides.
    """

    names: tuple[str, ...]
    record_id: np.ndarray
    patient_id: np.ndarray
    member: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    patients_in_both: int


def join(members: Predictions, non_members: Predictions) -> Audit:
    """Put the two tables of one model's predictions together.

    Raises:
        UserError: they have different findings, or share a record.
    """
    if set(members.names) != set(non_members.names):
        odd = sorted(set(members.names) ^ set(non_members.names))[0]
        raise UserError(
            f"Members and non-members must have the same findings, but only one of them has "
            f"'{odd}'; predict both with the same bundle."
        )
    shared = np.intersect1d(members.record_id.astype(str), non_members.record_id.astype(str))
    if len(shared):
        raise UserError(
            f"{len(shared)} records are both members and non-members (first '{shared[0]}'); a "
            "record was in the training data or it was not."
        )
    order = [non_members.names.index(name) for name in members.names]
    both = (set(members.patient_id) & set(non_members.patient_id)) - {""}
    return Audit(
        members.names,
        np.concatenate([members.record_id, non_members.record_id]),
        np.concatenate([members.patient_id, non_members.patient_id]),
        np.r_[np.ones(len(members), bool), np.zeros(len(non_members), bool)],
        np.concatenate([members.labels, non_members.labels[:, order]]),
        np.concatenate(
            [members.scores.astype(np.float64), non_members.scores[:, order].astype(np.float64)]
        ),
        len(both),
    )


def confidence(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) of the probability p given to the true label; NaN where that is unknown.

    Nearly normal over models, unlike the probability or the loss (Carlini et al., IEEE S&P 2022).
    """
    return np.where(labels == UNKNOWN, np.nan, np.where(labels == 1, 1.0, -1.0) * logit(scores))


@dataclass(frozen=True)
class References:
    """What K other models say of the audit's records.

    Attributes:
        confidence: (K, M, C), NaN where a model did not score a record or the label is unknown.
        trained_on: (K, M) bool, whether the record was in that model's training data.
        scored: (K, M) bool.
    """

    confidence: np.ndarray
    trained_on: np.ndarray
    scored: np.ndarray


def align_references(audit: Audit, tables: Sequence[Predictions]) -> References:
    """Bring reference models' predictions into the order of the audit.

    A table may hold the column ``member`` (true where the record was in that model's training
    data); without it, the model saw none of the records.

    Raises:
        UserError: a finding or all of the audit's records are missing, or ``member`` is not 0/1.
    """
    place = {record: row for row, record in enumerate(audit.record_id)}
    k, (m, c) = len(tables), audit.scores.shape
    values = np.full((k, m, c), np.nan)
    trained, scored = np.zeros((k, m), bool), np.zeros((k, m), bool)
    for i, table in enumerate(tables):
        missing = [name for name in audit.names if name not in table.names]
        if missing:
            raise UserError(f"Reference model {i + 1} has no finding '{missing[0]}'.")
        rows = np.array([place.get(record, -1) for record in table.record_id])
        known = np.flatnonzero(rows >= 0)
        if len(known) == 0:
            raise UserError(
                f"Reference model {i + 1} scored none of the members and non-members; a reference "
                "table holds predictions for the same record_ids."
            )
        at = rows[known]
        order = [table.names.index(name) for name in audit.names]
        values[i, at] = confidence(audit.labels[at], table.scores[known][:, order])
        scored[i, at] = True
        if "member" in table.extra:
            flag = np.asarray(table.extra["member"])
            if not np.isin(flag, (0, 1)).all():
                raise UserError(
                    f"Reference model {i + 1}: the column 'member' must be true or false in every "
                    "row."
                )
            trained[i, at] = flag[known].astype(bool)
    return References(values, trained, scored)
