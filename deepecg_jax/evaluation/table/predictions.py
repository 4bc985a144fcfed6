"""The predictions table: one row an ECG, the only thing that evaluation knows about a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.columns import (
    LABEL,
    SCORE,
    UNKNOWN,
    WEIGHT,
    read_ages,
    read_labels,
    read_scores,
    read_sexes,
    read_text,
    read_weights,
    require_unique,
    stack_columns,
)

TIME, EVENT = "time_days", "event"
SURVIVAL_COLUMNS = (TIME, EVENT)
_IDENTITY = ("record_id", "patient_id", "age", "sex")


@dataclass(frozen=True)
class Predictions:
    """Scores and labels of N ECGs and C findings.

    Attributes:
        names: the C findings, in the order of the file's ``score:`` columns.
        labels: (N, C) int8, 1 present, 0 absent, -1 unknown.
        scores: (N, C) float32 or float64, probabilities in 0..1.
        record_id: (N,) text, unique.
        patient_id: (N,) text; an empty string is an unknown patient.
        age: (N,) float64 years, NaN unknown.
        sex: (N,) text, ``female``, ``male`` or ``unknown``.
        extra: every further column, (N,) values by name, such as ``site``, ``device``,
            ``time_days`` (NaN unknown) and ``event`` (0, 1, 2; -1 or NaN unknown).
        weight: (N,) float64, how much each record counts, from the optional column ``weight``;
            ``None`` when every record counts once.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    record_id: np.ndarray
    patient_id: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.record_id)

    @property
    def n_patients(self) -> int:
        """How many known patients there are."""
        patients = set(self.patient_id)
        return len(patients) - ("" in patients)

    @property
    def has_survival(self) -> bool:
        """Whether the follow-up columns ``time_days`` and ``event`` are there."""
        return all(column in self.extra for column in SURVIVAL_COLUMNS)


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write a predictions file: what `read_predictions` gives back.

    Ages are stored as float32, scores as float32 if they come so and else as float64, an unknown
    label (-1) as null. The file's folder is made if absent.

    Raises:
        UserError: the shapes disagree, or the table would be refused by `read_predictions`.
    """
    table = to_table(predictions, f"Cannot write {path}")
    from_table(table, str(path))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")  # a process that is killed leaves no half of a file
    pq.write_table(table, part)
    part.replace(path)


def to_table(predictions: Predictions, where: str = "the predictions") -> pa.Table:
    """The Arrow table of the form that a predictions file has.

    Raises:
        UserError: labels or scores are not (N, C), or a label is none of 1, 0 and -1.
    """
    p = predictions
    scores = np.asarray(p.scores)
    if scores.dtype != np.float32:
        scores = scores.astype(np.float64)
    labels = np.asarray(p.labels)
    n, c = len(p.record_id), len(p.names)
    for name, array in (("labels", labels), ("scores", scores)):
        if array.shape != (n, c):
            raise UserError(
                f"{where}: {name} have shape {array.shape}, but there are {n} records "
                f"and {c} findings; pass an array of shape ({n}, {c})."
            )
    columns: dict[str, Any] = {
        "record_id": pa.array([str(value) for value in p.record_id]),
        "patient_id": pa.array([str(value) for value in p.patient_id]),
        "age": pa.array(np.asarray(p.age, np.float32)),
        "sex": pa.array([str(value) for value in p.sex]),
    }
    for j, name in enumerate(p.names):
        column = labels[:, j]
        if not np.isin(column, (UNKNOWN, 0, 1)).all():
            raise UserError(f"{where}: labels of '{name}' must be 1, 0 or -1 (unknown).")
        columns[LABEL + name] = label_column(column)
        columns[SCORE + name] = pa.array(np.ascontiguousarray(scores[:, j]))
    columns |= {name: _column(name, values) for name, values in p.extra.items()}
    if p.weight is not None:
        columns[WEIGHT] = pa.array(np.asarray(p.weight, np.float64))
    return pa.table(columns)


def label_column(labels: np.ndarray) -> pa.Array:
    """Labels of one finding, (N,) of 1, 0 and -1 -> int8, an unknown one (-1) null."""
    return pa.array(labels.astype(np.int8), mask=labels == UNKNOWN)


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """A further column; NaN and None become null, and so does an event of -1 (unknown)."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    array = np.asarray(values)
    if name == EVENT and np.issubdtype(array.dtype, np.integer):
        return pa.array(array, mask=array == UNKNOWN)
    return pa.array(array, from_pandas=True)


def read_predictions(path: str | Path) -> Predictions:
    """Read and check a predictions file.

    Raises:
        UserError: the file is absent or not Parquet, a column is missing, a score is outside 0..1
            or NaN, a label is not 0, 1 or null, a record stands twice, or a ``label:X`` has no
            ``score:X``. A finding with scores but without a label column counts as unlabelled.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no predictions file {path}; give the path of a Parquet file.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} cannot be read as Parquet ({error}); write it with 'deepecg predict' or "
            "pandas.DataFrame.to_parquet."
        ) from error
    return from_table(table, str(path))


def from_table(table: pa.Table, path: str = "the table") -> Predictions:
    """The predictions in an Arrow table of a predictions file's form, checked.

    ``path`` is what errors call the table. Raises UserError as `read_predictions` does.
    """
    columns = table.column_names
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UserError(f"{path} has more than one column '{twice[0]}'; keep one.")
    missing = [name for name in _IDENTITY if name not in columns]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(repr(name) for name in missing)}; a predictions "
            "file has record_id, patient_id, age, sex and score:/label: columns (what is unknown "
            "may be null; without patients, --cluster none takes every record as independent)."
        )
    names = tuple(name.removeprefix(SCORE) for name in columns if name.startswith(SCORE))
    for name in columns:
        if name.startswith(LABEL) and name.removeprefix(LABEL) not in names:
            raise UserError(
                f"{path} has '{name}' but no '{SCORE}{name.removeprefix(LABEL)}'; add the scores "
                "or drop the label column."
            )
    if not names:
        raise UserError(f"{path} has no column that starts with '{SCORE}'; nothing to evaluate.")
    if table.num_rows == 0:
        raise UserError(f"{path} has no rows; nothing to evaluate.")
    record_id = read_text(table, "record_id", repeats=False)
    require_unique(table, record_id, path)
    return Predictions(
        names=names,
        labels=stack_columns([lambda n=name: read_labels(table, n, path) for name in names]),
        scores=stack_columns([lambda n=name: read_scores(table, n, path) for name in names]),
        record_id=record_id,
        patient_id=read_text(table, "patient_id"),
        age=read_ages(table, path),
        sex=read_sexes(table, path),
        extra={
            name: table[name].to_numpy()
            for name in columns
            if name not in (*_IDENTITY, WEIGHT) and not name.startswith((LABEL, SCORE))
        },
        weight=read_weights(table, path),
    )
