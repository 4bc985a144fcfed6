"""Embeddings of recordings on disk: NPZ or Parquet."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.errors import UserError

FIELDS = ("embedding", "patient_id", "date")


@dataclass(frozen=True)
class Embeddings:
    """Recordings that have a patient and a date.

    Attributes:
        vectors: (N, D) float32.
        patient_id: (N,) text.
        date: (N,) datetime64[D].
        left_out: recordings without a patient or a date.
    """

    vectors: np.ndarray
    patient_id: np.ndarray
    date: np.ndarray
    left_out: int


def read_embeddings(path: str | Path) -> Embeddings:
    """Read ``embedding`` (N, D), ``patient_id`` and ``date`` (YYYY-MM-DD).

    An NPZ holds them as arrays, a Parquet as columns, ``embedding`` being lists of one length.

    Raises:
        UserError: no such file, a field is missing, lengths disagree, an embedding is zero or not
            finite, or a date is none.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no embeddings file {path}.")
    fields = _npz(path) if path.suffix == ".npz" else _parquet(path)
    missing = [name for name in FIELDS if name not in fields]
    if missing:
        raise UserError(
            f"{path} has no '{missing[0]}'; embeddings need embedding (N, D), patient_id and date."
        )
    try:
        vectors = np.asarray(fields["embedding"], np.float32)
    except ValueError as error:
        raise UserError(f"{path}: the embeddings are not numbers of one length.") from error
    if vectors.ndim != 2 or not len(vectors):
        raise UserError(f"{path}: embedding has shape {vectors.shape}; it must be (N, D).")
    patient = np.array(["" if v is None else str(v) for v in fields["patient_id"]], object)
    try:
        date = np.array(
            [
                "NaT" if v is None or str(v) in ("", "NaT", "None") else str(v)
                for v in fields["date"]
            ],
            "datetime64[us]",
        ).astype("datetime64[D]")
    except ValueError as error:
        raise UserError(f"{path}: a date is not YYYY-MM-DD ({error}).") from error
    if len({len(vectors), len(patient), len(date)}) > 1:
        raise UserError(
            f"{path}: {len(vectors)} embeddings, {len(patient)} patients and {len(date)} dates."
        )
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise UserError(
            f"{path}: {int(bad.sum())} embeddings are zero, NaN or infinite (first in row "
            f"{int(bad.argmax())})."
        )
    known = (patient != "") & ~np.isnat(date)
    return Embeddings(vectors[known], patient[known], date[known], int((~known).sum()))


def _npz(path: Path) -> dict[str, np.ndarray | list]:
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as NPZ ({error}).") from error
    for name in ("patient_id", "date"):
        if name in fields:
            fields[name] = (
                fields[name].tolist()
                if fields[name].dtype.kind != "M"
                else fields[name].astype(str).tolist()
            )
    return fields


def _parquet(path: Path) -> dict[str, np.ndarray | list]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet ({error}).") from error
    return {
        name: table[name].to_pylist() if name != "embedding" else _lists(table[name], path)
        for name in FIELDS
        if name in table.column_names
    }


def _lists(column: pa.ChunkedArray, path: Path) -> np.ndarray:
    values = column.combine_chunks()
    lists = pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
    if not lists and not pa.types.is_fixed_size_list(values.type):
        raise UserError(f"{path}: 'embedding' holds {values.type}, not lists of numbers.")
    if values.null_count or len(set(values.value_lengths().to_pylist())) != 1:
        raise UserError(f"{path}: the embeddings are not numbers of one length.")
    return values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)
