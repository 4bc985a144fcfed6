"""Files -> :class:`Recording`: WFDB through ``wfdb``, and plain arrays when rate, unit and leads
are given."""

import csv
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.hdf5 import is_hdf5, read_hdf5
from deepecg_jax.signals.leads import canonical_lead
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.wfdb_header import WfdbHeader, millivolts_per_unit, read_header

_WFDB_SUFFIXES = ("", ".hea", ".dat", ".mat")
_ARRAY_SUFFIXES = (".npy", ".csv")


def read(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Recording:
    """Read one ECG, choosing the reader by the file's extension.

    WFDB: ``.hea``, ``.dat``, ``.mat`` or the record's name without extension. ``.npy`` and ``.csv``
    need ``sampling_rate`` (Hz), ``unit`` and ``leads``; HDF5 is in ``signals.hdf5``. UserError for
    any other format or for missing arguments; SignalError when the file itself is at fault.
    """
    if is_hdf5(path):
        return read_hdf5(path, sampling_rate=sampling_rate, unit=unit, leads=leads)
    path = Path(path)
    suffix = path.suffix.lower()
    given = {"sampling_rate": sampling_rate, "unit": unit, "leads": leads}
    if suffix in _WFDB_SUFFIXES or path.with_name(path.name + ".hea").is_file():
        if any(value is not None for value in given.values()):
            raise UserError(
                f"{path} is a WFDB record, whose header states rate, unit and leads; "
                "do not give them again."
            )
        return read_wfdb(path)
    if suffix in _ARRAY_SUFFIXES:
        missing = [name for name, value in given.items() if value is None]
        if sampling_rate is None or unit is None or leads is None:
            raise UserError(
                f"{path} does not say what its numbers are; give {', '.join(missing)} as well."
            )
        return read_array(path, sampling_rate=sampling_rate, unit=unit, leads=leads)
    raise UserError(
        f"{path}: no reader for {suffix!r} in this version (the extra `formats` is not used yet); "
        "supported are WFDB (.hea with .dat or .mat), .npy and .csv."
    )


def read_wfdb(path_without_ext: str | Path) -> Recording:
    """Read a WFDB record (the path may also carry ``.hea``, ``.dat`` or ``.mat``).

    Samples become millivolts by the header's gain and unit; age and sex are taken from ``# Age:``
    and ``# Sex:`` comments, all ``# key: value`` comments stand in ``meta["comments"]``;
    ``meta["checksum_verified"]`` says whether the header's checksums could be compared.

    SignalError (stage ``read``): ``unreadable`` (absent, truncated or damaged file),
    ``checksum``, ``unknown_rate`` (wfdb itself would assume 250 Hz) or ``unit`` (no gain, a gain
    of 0, where wfdb would assume 200, or a unit that is no voltage).
    """
    wfdb = _import_wfdb()
    path = Path(path_without_ext)
    if path.suffix.lower() in _WFDB_SUFFIXES[1:]:
        path = path.with_suffix("")
    header = read_header(path.with_name(path.name + ".hea"))
    try:
        record: Any = wfdb.rdrecord(str(path.absolute()), physical=False, return_res=32)
        digital = np.asarray(record.d_signal)
        physical = record.dac(return_res=64)
        leads = tuple(str(name or "") for name in record.sig_name)
    except Exception as error:  # wfdb and its decoders raise anything on damaged files
        raise SignalError(
            "read",
            "unreadable",
            f"{path} cannot be read as WFDB ({type(error).__name__}: {error}).",
        ) from error
    verified = _verify(path, header, digital)
    return Recording(
        signal=(physical * np.array(header.to_millivolts)).astype(np.float32),
        leads=leads,
        sampling_rate=header.sampling_rate,
        record_id=path.name,
        age=_age(header.comments.get("age", "")),
        sex=_sex(header.comments.get("sex", "")),
        meta={"comments": header.comments, "checksum_verified": verified},
    )


def read_array(
    path: str | Path, *, sampling_rate: float, unit: str, leads: Sequence[str]
) -> Recording:
    """Read a ``.npy`` or ``.csv`` file of (samples, leads) or (leads, samples) numbers.

    ``leads`` names the columns in order; the axis of that length is the lead axis. A CSV may open
    with a line of lead names, which must then agree with ``leads``. UserError if arguments and
    file contradict each other; SignalError if the file is damaged or the unit is no voltage.
    """
    path = Path(path)
    leads = tuple(leads)
    if isinstance(sampling_rate, bool) or not math.isfinite(sampling_rate) or sampling_rate <= 0:
        raise SignalError(
            "read", "unknown_rate", f"{path}: sampling rate {sampling_rate!r} is not positive."
        )
    factor = millivolts_per_unit(unit)
    try:
        values = _read_csv(path, leads) if path.suffix.lower() == ".csv" else np.load(path)
        values = np.asarray(values, np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise SignalError("read", "unreadable", f"{path} cannot be read ({error}).") from error
    if values.ndim != 2 or len(leads) not in values.shape:
        raise UserError(
            f"{path} has shape {values.shape}, in which no axis has the length of the "
            f"{len(leads)} lead names given."
        )
    if values.shape[0] == values.shape[1]:
        raise UserError(f"{path} has shape {values.shape}: which axis holds the leads is unclear.")
    if values.shape[1] != len(leads):
        values = values.T
    return Recording(
        (values * factor).astype(np.float32), leads, float(sampling_rate), record_id=path.stem
    )


def _import_wfdb() -> Any:
    """wfdb, imported on first use; wfdb 4.3 calls pandas in a deprecated way while importing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    return wfdb


def _verify(path: Path, header: WfdbHeader, digital: np.ndarray) -> bool:
    """Compare length and checksums (16-bit sums) with the header; whether all were comparable."""
    if header.n_samples is not None and len(digital) != header.n_samples:
        raise SignalError(
            "read",
            "unreadable",
            f"{path} holds {len(digital)} samples, but its header says {header.n_samples}.",
        )
    if not header.plain or None in header.checksums:
        return False
    sums = digital.sum(axis=0, dtype=np.int64)
    wrong = [
        number
        for number, (found, said) in enumerate(zip(sums, header.checksums, strict=True), start=1)
        if said is not None and (int(found) - said) % 65536
    ]
    if wrong:
        raise SignalError(
            "read",
            "checksum",
            f"{path}: the samples of signals {', '.join(map(str, wrong))} do not match the "
            "header's checksums; the file is damaged or does not belong to this header.",
        )
    return True


def _read_csv(path: Path, leads: tuple[str, ...]) -> np.ndarray:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and any(canonical_lead(cell) for cell in rows[0]):
        names = [cell.strip() for cell in rows.pop(0)]
        if [canonical_lead(name) or name for name in names] != [
            canonical_lead(lead) or lead for lead in leads
        ]:
            raise UserError(
                f"{path} opens with the leads {', '.join(names)}, but the leads given are "
                f"{', '.join(leads)}."
            )
    return np.array([[float(cell) for cell in row] for row in rows])


def _age(text: str) -> float:
    try:
        age = float(text)
    except ValueError:
        return math.nan
    return age if math.isfinite(age) and age >= 0 else math.nan


def _sex(text: str) -> str:
    return {"f": "female", "m": "male"}.get(text.strip().lower()[:1], "unknown")
