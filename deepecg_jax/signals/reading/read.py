"""Files -> :class:`Recording`: which reader a file is for, and what it must be told."""

from collections.abc import Sequence
from pathlib import Path

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.arrays import ARRAY_SUFFIXES, read_array
from deepecg_jax.signals.reading.fairseq_mat import is_fairseq_mat, read_fairseq_mat
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
    """Read one ECG file, whatever its format.

    >>> recording = de.read("ecg.hea")  # WFDB
    >>> recording.leads[:3], recording.sampling_rate, recording.signal.shape
    (('I', 'II', 'III'), 250.0, (2500, 12))
    >>> de.read("muse.xml").age  # a device's file, known by its content
    63.0
    >>> de.read("ecg.npy", sampling_rate=500, unit="uV", leads=["I", "II"]).seconds
    10.0

    Args:
        path: WFDB (``.hea``, ``.dat``, ``.mat`` or the record's name without extension), ``.npy``,
            ``.csv``, HDF5 (``file.h5::dataset[row]``, see
            :mod:`deepecg_jax.signals.reading.hdf5`), a ``.mat`` of fairseq-signals, or a file of
            an ECG device (:mod:`deepecg_jax.signals.reading.vendor`, extra ``formats``).
        sampling_rate: Hz; of ``.npy`` and ``.csv``, and of HDF5 where the file does not state it.
        unit: mV, uV, nV or V; of these and of fairseq-signals' ``.mat``.
        leads: names in order; of these, fairseq-signals' being the standard twelve if not given.

    Raises:
        UserError: something of these is missing, or given although the file itself states it.
        SignalError: the file itself is at fault.
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
    # A WFDB record has a header beside it, under its name with the extension replaced or added.
    beside = path.with_name(path.name + ".hea").is_file()
    alone = suffix == ".mat" and not beside and not path.with_suffix(".hea").is_file()
    if alone and (unit is not None or is_fairseq_mat(path)):
        if unit is None or sampling_rate is not None:
            raise UserError(
                f"{path} is of fairseq-signals, which states its sampling rate but no unit; give "
                "unit alone, and leads if they are not the standard twelve."
            )
        return read_fairseq_mat(path, unit=unit, leads=leads or STANDARD_LEADS)
    if any(value is not None for value in given.values()):
        raise UserError(
            f"{path} is no array; its header states rate, unit and leads, so do not give them."
        )
    # Files of devices often have no extension.
    if beside or (suffix in WFDB_SUFFIXES and not (suffix == "" and path.is_file())):
        return read_wfdb(path)
    return read_vendor(path)
