"""``.npy`` and ``.csv`` files of numbers, whose rate, unit and leads the caller states."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepecg_jax.cells import delimiter_of, read_number
from deepecg_jax.errors import UserError
from deepecg_jax.signals.leads import canonical_lead
from deepecg_jax.signals.reading.limits import check_file, check_values
from deepecg_jax.signals.recording import Meta, Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit

ARRAY_SUFFIXES = (".npy", ".csv")
_MAX_CSV_BYTES = 64 * 2**20


def read_array(
    path: str | Path, *, sampling_rate: float, unit: str, leads: Sequence[str]
) -> Recording:
    """Read a ``.npy`` or ``.csv`` file of (samples, leads) or (leads, samples) numbers.

    ``leads`` names the columns in order; the axis of that length is the lead axis. A CSV may open
    with a line of lead names, which must then agree with ``leads``; between columns stands a comma,
    or a semicolon, tab or bar, and then decimals may have a comma.
    UserError if arguments and file contradict each other; SignalError if the file is damaged or the
    unit is no voltage.
    """
    path = Path(path)
    leads = tuple(leads)
    if isinstance(sampling_rate, bool) or not math.isfinite(sampling_rate) or sampling_rate <= 0:
        raise SignalError(
            "read", "unknown_rate", f"{path}: sampling rate {sampling_rate!r} is not positive."
        )
    factor = millivolts_per_unit(unit)
    try:
        values = _read_csv(path, leads) if path.suffix.lower() == ".csv" else _read_npy(path)
        with np.errstate(invalid="ignore"):  # signalling NaNs, which the checks refuse
            values = np.asarray(values, np.float64)
    except (SignalError, UserError):
        raise
    except Exception as error:  # numpy raises even TokenError on damaged headers
        what = " ".join(str(error).split())[:300]
        raise SignalError("read", "unreadable", f"{path} cannot be read ({what}).") from error
    if values.ndim != 2 or len(leads) not in values.shape:
        raise UserError(
            f"{path} has shape {values.shape}, in which no axis has the length of the "
            f"{len(leads)} lead names given."
        )
    if values.shape[0] == values.shape[1]:
        raise UserError(f"{path} has shape {values.shape}: which axis holds the leads is unclear.")
    if values.shape[1] != len(leads):
        values = values.T
    with np.errstate(over="ignore"):  # infinity, which the checks refuse
        signal = (values * factor).astype(np.float32)
    meta: Meta = {
        "format": path.suffix[1:].upper(),
        "microvolts_per_count": [1000 * factor] * len(leads),
    }
    return Recording(signal, leads, float(sampling_rate), record_id=path.stem, meta=meta)


def _read_npy(path: Path) -> np.ndarray:
    size = check_file(path)
    # Mapped, so that nothing is allocated for a shape that the file does not hold.
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray):
        raise ValueError("not a single array")
    if values.dtype.kind not in "iuf":
        raise ValueError(f"an array of {values.dtype} is no signal")
    check_values(path, values.size, 1)
    if values.nbytes > size:  # strides of zero length and the like
        raise ValueError("the file is shorter than its array")
    return values


def _read_csv(path: Path, leads: tuple[str, ...]) -> np.ndarray:
    check_file(path, _MAX_CSV_BYTES)
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(file)
    first = next((line for line in lines if line.strip()), "")
    delimiter = delimiter_of(first)
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    if rows and any(canonical_lead(cell) for cell in rows[0]):
        names = [cell.strip() for cell in rows.pop(0)]
        if [canonical_lead(name) or name for name in names] != [
            canonical_lead(lead) or lead for lead in leads
        ]:
            raise UserError(
                f"{path} opens with the leads {', '.join(names)}, but the leads given are "
                f"{', '.join(leads)}."
            )
    # where something else parts the columns, a comma stands before the decimals
    return np.array([[_number(cell, delimiter != ",") for cell in row] for row in rows])


def _number(cell: str, decimal_comma: bool) -> float:
    number = read_number(cell, decimal_comma)
    if math.isnan(number) and cell.strip().lower() != "nan":  # which the checks refuse
        raise ValueError(f"{cell!r} is no number")
    return number
