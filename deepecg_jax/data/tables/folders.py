"""Folders without a table: which files are ECGs, and who they are of."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.data.tables.recordings import read_planned
from deepecg_jax.data.workers import worker_pool
from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.hdf5 import SUFFIXES as HDF5_SUFFIXES
from deepecg_jax.signals.recording import SignalError

SUFFIXES = (
    *(".hea", ".npy", ".xml", ".dcm", ".scp", ".ecg", ".mwf", ".mfer", ".edf", ".json"),
    *HDF5_SUFFIXES,
)
"""Extensions of ECG files that are looked for; WFDB is found by its headers."""

_PARTS = (".dat", ".mat")
"""The samples of WFDB records, which their headers stand for."""

FROM_FILE, FROM_FOLDER = "file", "folder"
"""Values of option ``patient_id``: what the file says, or the name of the folder it is in."""

_CHUNK = 64
_ALONE = 256  # so few files are read sooner than processes are started
_KILLED = (
    "A worker process was killed while it read who the files are of, most likely for lack of "
    "memory; --option patient_id=COLUMN, folder or none reads no file for that."
)


def find_files(source: Path, pattern: str) -> list[str]:
    """ECG files below a folder as relative paths in alphabetical order.

    Args:
        source: the folder.
        pattern: such as ``*.xml`` or ``2020/*/*.dcm``; "" for all of SUFFIXES.

    Raises:
        UserError: there is none, or the pattern is none.
    """
    try:
        found = source.rglob(pattern or "*")
        paths = [
            path.relative_to(source).as_posix()
            for path in found
            if (pattern or path.suffix.lower() in SUFFIXES) and path.is_file()
        ]
    except (ValueError, NotImplementedError) as error:
        raise UserError(f"Option files is {pattern!r}, which is no pattern: {error}.") from error
    if not paths:
        raise UserError(
            f"{source} holds no file that fits {pattern!r}."
            if pattern
            else f"{source} holds no CSV or Parquet table and no ECG file; give --option "
            "table=FILE or --option files=PATTERN such as '*.xml'."
        )
    return sorted(paths)


def not_taken(source: Path) -> str:
    """Which files below a folder ``find_files`` leaves, such as ``12 .gz, 1 .pdf``; "" if none."""
    suffixes = (path.suffix.lower() for path in source.rglob("*") if path.is_file())
    left = Counter(suffix for suffix in suffixes if suffix not in (*SUFFIXES, *_PARTS))
    most = sorted(left.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {suffix or 'without extension'}" for suffix, n in most[:6])


def patients_of_folders(paths: Sequence[str]) -> list[str]:
    """Names of the folders that files lie in, "" for files that lie in none."""
    return [os.path.basename(os.path.dirname(path)) for path in paths]


def patients_of_files(records: Sequence[PlannedRecord], processes: int) -> list[str]:
    """The patient's id that each file states, "" if it states none or cannot be read.

    Every file is read once for this, by several processes, and again when it is stored.
    """
    if len(records) <= _ALONE or processes <= 1:
        return [_patient_of(record) for record in records]
    with worker_pool(processes, _KILLED) as pool:
        return list(pool.map(_patient_of, records, chunksize=_CHUNK))


def _patient_of(record: PlannedRecord) -> str:
    try:
        return read_planned(record).patient_id.strip()
    except SignalError:  # it will be a reject, with its reason, when it is read to be stored
        return ""
    except UserError:
        raise
    except Exception:  # a parser's own fault becomes a reject then, too
        return ""
