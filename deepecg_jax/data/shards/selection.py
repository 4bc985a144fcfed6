"""Which ECGs of a split fulfil conditions on their quality measures or metadata.

A condition is ``COLUMN OPERATOR VALUE``, such as ``noise < 0.1``; several must all hold. Columns
are those of ``quality.parquet`` and, of ``index.parquet``, age, sex, fold and the ids. An ECG whose
value is unknown fulfils no condition on it. ``any PATTERN``, such as ``any superclass:*``, holds
where a label that fits is present: benchmarks leave out ECGs without any label of their task.
"""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.data.shards.index import QUALITY_FILE
from deepecg_jax.data.shards.split import Split
from deepecg_jax.errors import UserError
from deepecg_jax.labels.maps import PRESENT
from deepecg_jax.labels.select import select_labels

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|==|!=|<|>|=)\s*(.+?)\s*")
_ANY = re.compile(r"\s*any\s+([^<>=!\s].*?)\s*")
_INDEX_COLUMNS = ("record_id", "patient_id", "age", "sex", "fold")
_PLACE = ("split", "position")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Condition:
    """One condition as it was written, and its parts; ``value`` is still text."""

    text: str
    column: str
    operator: str
    value: str


def parse_condition(text: str) -> Condition:
    """``"noise < 0.1"`` -> Condition; UserError for anything of another form."""
    match = _CONDITION.fullmatch(text)
    if match is None or match[3][0] in "<>=!":
        raise UserError(
            f"{text!r} is no condition: write COLUMN, one of {' '.join(_OPERATORS)}, and a value, "
            "such as 'noise < 0.1'."
        )
    return Condition(text.strip(), match[1], match[2], match[3].strip("\"'"))


def positions_where(split: Split, conditions: Sequence[str]) -> np.ndarray:
    """Positions of the ECGs that fulfil all ``conditions``, ascending; all of them for none.

    Raises:
        UserError: a condition cannot be read, names no column (the nearest is suggested), or
            compares unlike things; or no ECG fulfils them.
    """
    keep = np.ones(len(split), bool)
    if not conditions:
        return np.flatnonzero(keep)
    parsed, said = [], []
    for text in conditions:
        said.append(text.strip())
        if pattern := _ANY.fullmatch(text):
            keep &= _any_present(split, pattern[1])
        else:
            parsed.append(parse_condition(text))
    columns = _columns(split, {condition.column for condition in parsed})
    for condition in parsed:
        keep &= _fulfilled(condition, columns[condition.column], len(split))
    if not keep.any():
        raise UserError(
            f"No ECG of {split.folder}, split {split.name}, fulfils {' and '.join(said)}."
        )
    return np.flatnonzero(keep)


def _any_present(split: Split, pattern: str) -> np.ndarray:
    """(N,) bool: a label that fits is present; UserError if none fits."""
    columns = select_labels([pattern], split.label_names, str(split.folder))[1]
    return (split.labels[:, columns] == PRESENT).any(1)


def _columns(split: Split, wanted: set[str]) -> dict[str, tuple[pa.ChunkedArray, np.ndarray]]:
    """Name -> values and the positions that they belong to."""
    path = split.folder / QUALITY_FILE
    try:
        names = pq.read_schema(path).names if path.is_file() else []
        measured = [name for name in names if name not in _PLACE]
        known = [*measured, *_INDEX_COLUMNS]
        for name in sorted(wanted):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(known)}"
                raise UserError(f"{split.folder} has no measure {name!r}; {hint}.")
        quality = [name for name in measured if name in wanted]
        table = (
            pq.read_table(
                path, columns=["position", *quality], filters=[("split", "==", split.name)]
            )
            if quality
            else None
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}); build the data set again.") from error
    found = {}
    for name in wanted:
        if table is not None and name in table.column_names:
            found[name] = table[name], table["position"].to_numpy()
        else:
            found[name] = split.index[name], np.arange(len(split))
    return found


def _fulfilled(
    condition: Condition, column: tuple[pa.ChunkedArray, np.ndarray], n_records: int
) -> np.ndarray:
    values, positions = column
    compare = _OPERATORS[condition.operator]
    known = np.asarray(values.is_valid())
    if pa.types.is_string(values.type):
        if condition.operator not in ("==", "=", "!="):
            raise UserError(
                f"{condition.text!r}: {condition.column} is text, which is compared by == or !=."
            )
        data = np.asarray(values.to_pylist(), object)
        holds = np.array([compare(value, condition.value) for value in data], bool)
    else:
        numbers = values.cast(pa.float64()).to_numpy() if len(values) else np.zeros(0)
        known &= ~np.isnan(numbers)
        holds = compare(numbers, _number(condition, values.type))
    keep = np.zeros(n_records, bool)
    keep[positions[known & holds]] = True
    return keep


def _number(condition: Condition, kind: pa.DataType) -> float:
    if pa.types.is_boolean(kind) and condition.value.lower() in _TRUTH:
        return float(_TRUTH[condition.value.lower()])
    try:
        return float(condition.value)
    except ValueError as error:
        raise UserError(
            f"{condition.text!r}: {condition.column} is a number, but {condition.value!r} is none."
        ) from error
