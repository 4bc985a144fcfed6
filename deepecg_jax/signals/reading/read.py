"""Files -> :class:`Recording`: WFDB, plain arrays whose rate, unit and leads are given, and the
formats of ECG devices."""

from collections.abc import Sequence
from pathlib import Path

from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.arrays import ARRAY_SUFFIXES, read_array
from deepecg_jax.signals.reading.hdf5 import is_hdf5, read_hdf5
from deepecg_jax.signals.reading.vendor import read_vendor
from deepecg_jax.signals.reading.wfdb_record import WFDB_SUFFIXES, read_wfdb
from deepecg_jax.signals.recording import Recording

__all__ = ["read", "read_array", "read_wfdb"]


def read(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Recording:
    """Read one ECG.

    WFDB: ``.hea``, ``.dat``, ``.mat`` or the record's name without extension. ``.npy`` and ``.csv``
    need ``sampling_rate`` (Hz), ``unit`` and ``leads``, which no other format may be given but
    HDF5 (``file.h5::dataset[row]``, see :mod:`deepecg_jax.signals.reading.hdf5`). Any other file
    is known by its content: see :mod:`deepecg_jax.signals.reading.vendor` (extra ``formats``).

    UserError for missing or superfluous arguments; SignalError when the file itself is at fault.
    """
    if is_hdf5(path):
        return read_hdf5(path, sampling_rate=sampling_rate, unit=unit, leads=leads)
    path = Path(path)
    suffix = path.suffix.lower()
    given = {"sampling_rate": sampling_rate, "unit": unit, "leads": leads}
    if suffix in ARRAY_SUFFIXES:
        missing = [name for name, value in given.items() if value is None]
        if sampling_rate is None or unit is None or leads is None:
            raise UserError(
                f"{path} does not say what its numbers are; give {', '.join(missing)} as well."
            )
        return read_array(path, sampling_rate=sampling_rate, unit=unit, leads=leads)
    if any(value is not None for value in given.values()):
        raise UserError(
            f"{path} is no array; its header states rate, unit and leads, so do not give them."
        )
    # Files of devices often have no extension; a WFDB record without one has a header beside it.
    beside = path.with_name(path.name + ".hea").is_file()
    if beside or (suffix in WFDB_SUFFIXES and not (suffix == "" and path.is_file())):
        return read_wfdb(path)
    return read_vendor(path)
