"""Parsing and checking the columns of a predictions file, one function a column."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepecg_jax.errors import UserError

LABEL = "label:"
SCORE = "score:"
WEIGHT = "weight"
UNKNOWN = -1
SEXES = ("female", "male", "unknown")


def stack_columns(makers: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
    """(N, C) from C functions that make a column, holding one spare column at a time."""
    first = makers[0]()
    result = np.empty((len(first), len(makers)), first.dtype)
    for j, make in enumerate(makers):
        column = first if j == 0 else make()
        if np.result_type(result, column) != result.dtype:
            result = result.astype(np.result_type(result, column))
        result[:, j] = column
    return result


def read_weights(table: pa.Table, path: str) -> np.ndarray | None:
    """The optional column ``weight``, (N,) float64, finite, 0 or more, not all 0."""
    if WEIGHT not in table.column_names:
        return None
    values = read_numbers(table, WEIGHT, path).astype(np.float64)
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        raise UserError(
            f"{path}: column '{WEIGHT}' has the value {values[bad.argmax()]:g} in row "
            f"{int(bad.argmax())}; a weight is a finite number of 0 or more."
        )
    if not (values > 0).any():
        raise UserError(f"{path}: every weight is 0, so no record counts; drop the column.")
    return values


def read_text(table: pa.Table, name: str, repeats: bool = True) -> np.ndarray:
    """A column as text, null as "".

    Where values repeat, equal ones become one object, which keeps big tables small; where they do
    not, looking for equal ones would cost more than the texts.
    """
    column = table[name]
    if not pa.types.is_string(column.type):
        values = column.to_pylist()
        column = pa.chunked_array([pa.array([None if v is None else str(v) for v in values])])
    if pa.types.is_null(column.type):
        return np.full(table.num_rows, "", dtype=object)
    if not repeats:
        return column.fill_null("").to_numpy()
    encoded = column.fill_null("").combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_numpy(zero_copy_only=False)
    if len(values) == table.num_rows:  # all different, so already in their order
        return values
    return values[encoded.indices.to_numpy(zero_copy_only=False)]


def require_unique(table: pa.Table, record_id: np.ndarray, path: str) -> None:
    """Refuse rows without a record_id and records that stand twice."""
    if (record_id == "").any():
        raise UserError(f"{path} has rows without a record_id; give every row its own.")
    hashes = np.fromiter(map(hash, record_id), np.int64, len(record_id))
    hashes.sort()
    if (hashes[1:] != hashes[:-1]).all():  # a few bytes a record; only equal hashes are looked into
        return
    ids = table["record_id"]
    if pc.count_distinct(ids).as_py() < len(ids):  # pyright: ignore[reportAttributeAccessIssue]
        values, counts = np.unique(record_id.astype(str), return_counts=True)
        raise UserError(
            f"{path} has record_id '{values[counts.argmax()]}' {counts.max()} times; keep one row "
            "a recording (average the scores of its windows)."
        )


def read_numbers(table: pa.Table, name: str, path: str) -> np.ndarray:
    """A column as floats, null as NaN."""
    column = table[name]
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_dictionary(kind) or not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    ):
        raise UserError(f"{path}: column '{name}' holds {kind}, not numbers; convert it.")
    wanted = np.float32 if kind == pa.float32() else np.float64
    values = column.to_numpy()
    return np.asarray(
        np.where(values == None, np.nan, values) if values.dtype == object else values,  # noqa: E711
        dtype=wanted,
    )


def read_scores(table: pa.Table, finding: str, path: str) -> np.ndarray:
    """The scores of a finding, (N,) float32 or float64, each in 0..1."""
    name = SCORE + finding
    values = read_numbers(table, name, path)
    bad = ~np.isfinite(values)
    if bad.any():
        raise UserError(
            f"{path}: column '{name}' has {int(bad.sum())} missing, NaN or infinite scores (first "
            f"in row {int(bad.argmax())}); every record needs a score."
        )
    bad = (values < 0) | (values > 1)
    if bad.any():
        raise UserError(
            f"{path}: column '{name}' has {int(bad.sum())} scores outside 0..1 (first "
            f"{values[bad.argmax()]:g} in row {int(bad.argmax())}); logits must go through a "
            "sigmoid first."
        )
    return values


def read_labels(table: pa.Table, finding: str, path: str) -> np.ndarray:
    """The labels of a finding, (N,) int8, -1 unknown; all unknown without the column."""
    name = LABEL + finding
    if name not in table.column_names:
        return np.full(table.num_rows, UNKNOWN, np.int8)
    values = read_numbers(table, name, path)
    unknown = np.isnan(values)
    bad = ~unknown & (values != 0) & (values != 1)
    if bad.any():
        raise UserError(
            f"{path}: column '{name}' has the value {values[bad.argmax()]:g} in row "
            f"{int(bad.argmax())}; a label is 1, 0 or null (unknown)."
        )
    return np.where(unknown, UNKNOWN, values).astype(np.int8)


def read_ages(table: pa.Table, path: str) -> np.ndarray:
    """Years, (N,) float64, NaN unknown."""
    ages = read_numbers(table, "age", path).astype(np.float64)
    bad = (ages < 0) | np.isinf(ages)
    if bad.any():
        raise UserError(
            f"{path}: column 'age' has the value {ages[bad.argmax()]:g} in row "
            f"{int(bad.argmax())}; ages are years, null if unknown."
        )
    return ages


def read_sexes(table: pa.Table, path: str) -> np.ndarray:
    """``female``, ``male`` or ``unknown``, (N,) text."""
    sex = read_text(table, "sex")
    sex[sex == ""] = "unknown"
    strange = sorted(set(sex) - set(SEXES))
    if strange:
        raise UserError(
            f"{path}: column 'sex' has the value '{strange[0]}'; use female, male or unknown."
        )
    return sex
