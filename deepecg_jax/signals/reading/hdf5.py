"""HDF5: one recording of a file with one or many, through ``h5py`` (extra ``hdf5``).

A place inside a file is written behind two colons: ``exams.h5::tracings[17]`` is row 17 of the
data set ``tracings`` (its first axis counts recordings), ``ecgs.h5::patient1/ecg2`` a data set that
is one recording. A file with a single two-dimensional data set needs no place.
"""

import importlib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.limits import check_file, check_values
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5", ".hdf5", ".hdf")
SEPARATOR = "::"
_PLACE = re.compile(r"^(?P<dataset>[^\[\]]*)(?:\[(?P<row>\d+)\])?$")
_MOST_OPEN = 64
_RATE_NAMES = ("sampling_rate", "sampling_frequency", "sample_rate", "fs")
_UNIT_NAMES = ("unit", "units")
_LEAD_NAMES = ("leads", "lead_names", "sig_name")


def is_hdf5(path: str | Path) -> bool:
    """Whether a path, with or without a place behind ``::``, names an HDF5 file."""
    return Path(str(path).partition(SEPARATOR)[0]).suffix.lower() in SUFFIXES


def read_hdf5(
    location: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Recording:
    """Read one ECG of (samples, leads) or (leads, samples) numbers from an HDF5 file.

    What is not given is taken from the attributes of the data set or the file
    (``sampling_rate``, ``unit``, ``leads``).

    Raises:
        UserError: h5py is not installed, or rate, unit or leads are neither given nor stated.
        SignalError: ``unreadable`` (absent, damaged, no such place), ``shape``, ``unit``,
            ``unknown_rate``.
    """
    name, _, place = str(location).partition(SEPARATOR)
    path = Path(name)
    values, attributes = _values(path, place)
    rate = _given_or_stated(sampling_rate, attributes, _RATE_NAMES)
    unit = _given_or_stated(unit, attributes, _UNIT_NAMES)
    names = _given_or_stated(leads, attributes, _LEAD_NAMES)
    wanted = {"sampling_rate": rate, "unit": unit, "leads": names}
    missing = [key for key, value in wanted.items() if value is None]
    if missing:
        raise UserError(
            f"{location} does not say what its numbers are; give {', '.join(missing)} as well."
        )
    lead_names = tuple(
        name.decode() if isinstance(name, bytes) else str(name)
        for name in (names.split(",") if isinstance(names, str) else names)
    )
    signal = _samples_by_leads(values, lead_names, location)
    rate = _positive(rate, location)
    factor = millivolts_per_unit(unit.decode() if isinstance(unit, bytes) else str(unit))
    return Recording(
        (signal * factor).astype(np.float32),
        tuple(name.strip() for name in lead_names),
        rate,
        record_id=re.sub(r"\W+", "_", place).strip("_") or path.stem,
        meta={"format": "HDF5", "microvolts_per_count": [1000 * factor] * len(lead_names)},
    )


def read_rows(path: str | Path, dataset: str) -> np.ndarray:
    """A whole one-dimensional data set, such as the ids of the recordings in a file.

    Raises UserError if the file or the data set cannot be read.
    """
    close_files()
    try:
        return np.asarray(_dataset(_open(*_identity(Path(path))), dataset)[()])
    except (OSError, KeyError, SignalError) as error:
        raise UserError(f"{path} has no readable data set {dataset!r} ({error}).") from error


def _values(path: Path, place: str) -> tuple[np.ndarray, dict[str, Any]]:
    match = _PLACE.match(place)
    if match is None:
        raise SignalError(
            "read", "unreadable", f"{path}: {place!r} is no place such as tracings[17]."
        )
    try:
        file = _open(*_identity(path))
        name = match["dataset"] or _only_dataset(file, path)
        dataset = _dataset(file, name)
        row = None if match["row"] is None else int(match["row"])
        if row is not None and (not dataset.shape or row >= dataset.shape[0]):
            raise KeyError(f"{name} has {(dataset.shape or (0,))[0]} rows, so none is {row}")
        if row is None and len(dataset.shape) != 2:
            raise KeyError(
                f"{name} has {len(dataset.shape)} axes; name one of its recordings as {name}[0]"
            )
        check_values(path, math.prod(dataset.shape[int(row is not None) :]), 1)
        values = np.asarray(dataset[row] if row is not None else dataset[...], np.float64)
        return values, {**file.attrs, **dataset.attrs}
    except (SignalError, UserError):
        raise
    except Exception as error:  # h5py and HDF5 raise anything on damaged files
        words = " ".join(str(error).strip("'\"").split())
        raise SignalError("read", "unreadable", f"{path} cannot be read ({words}).") from error


def _identity(path: Path) -> tuple[str, int, int]:
    size = check_file(path, None)  # a part of CODE-15 % holds 20,000 recordings
    return str(path), path.stat().st_mtime_ns, size


def close_files() -> None:
    """Close the files that reading has left open; HDF5 would show them as they were."""
    while _open_files:
        _open_files.pop().close()
    _open.cache_clear()


_open_files: "list[h5py.File]" = []


@cache
def _open(path: str, changed: int, size: int) -> "h5py.File":
    """The open file; kept, because a part of CODE-15 % holds 20,000 recordings."""
    if len(_open_files) >= _MOST_OPEN:
        close_files()
    file = _h5py(path).File(path, "r")
    _open_files.append(file)
    return file


def _h5py(path: str | Path) -> ModuleType:
    """The library, imported when a file needs it."""
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise UserError(
            f"{path} is HDF5, which needs h5py: pip install 'deepecg_jax[hdf5]'."
        ) from error


def _dataset(file: "h5py.File", name: str) -> "h5py.Dataset":
    """KeyError if there is no such data set."""
    from h5py import Dataset

    found = file[name]
    if not isinstance(found, Dataset):
        raise KeyError(f"{name} is a group, not a data set")
    return found


def _only_dataset(file: "h5py.File", path: Path) -> str:
    found: list[str] = []
    several: list[str] = []
    by_axes = {2: found, 3: several}

    def note(name: str, item: object) -> None:
        by_axes.get(len(getattr(item, "shape", ())), []).append(name)

    file.visititems(note)
    if not found and several:
        raise SignalError(
            "read",
            "unreadable",
            f"{path} holds many recordings ({several[0]} has three axes); name each in a table as "
            f"{path.name}{SEPARATOR}{several[0]}[0] and so on.",
        )
    if len(found) != 1:
        there = ", ".join(found[:5]) if found else "none"
        raise SignalError(
            "read",
            "unreadable",
            f"{path} has {len(found)} two-dimensional data sets ({there}); say which as "
            f"{path.name}{SEPARATOR}NAME.",
        )
    return found[0]


def _given_or_stated(given: Any, attributes: dict[str, Any], names: Sequence[str]) -> Any:
    if given is not None:
        return given
    return next((attributes[name] for name in names if name in attributes), None)


def _positive(rate: Any, location: str | Path) -> float:
    try:
        value = float(rate)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise SignalError(
            "read", "unknown_rate", f"{location}: sampling rate {rate!r} is not positive."
        )
    return value


def _samples_by_leads(values: np.ndarray, leads: Sequence[str], location: str | Path) -> np.ndarray:
    fits = values.ndim == 2 and len(leads) in values.shape and values.shape[0] != values.shape[1]
    if not fits:
        raise SignalError(
            "read",
            "shape",
            f"{location} has shape {values.shape}, in which not exactly one axis has the length "
            f"of the {len(leads)} lead names.",
        )
    return values if values.shape[1] == len(leads) else values.T
