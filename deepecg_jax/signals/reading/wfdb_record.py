"""WFDB records -> :class:`Recording`: plain ones directly, all others through ``wfdb``."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.signals.people import age_and_sex_of_comments
from deepecg_jax.signals.reading.limits import check_file, check_values
from deepecg_jax.signals.reading.wfdb_header import WfdbHeader, read_header
from deepecg_jax.signals.reading.wfdb_samples import plain_signals, read_digital, to_millivolts
from deepecg_jax.signals.recording import Recording, SignalError

WFDB_SUFFIXES = ("", ".hea", ".dat", ".mat")


def read_wfdb(path_without_ext: str | Path) -> Recording:
    """Read a WFDB record (the path may also carry ``.hea``, ``.dat`` or ``.mat``).

    Samples become millivolts by the header's gain and unit; age and sex are taken from ``# Age:``
    and ``# Sex:`` comments (``signals.people``; what was not understood stands in
    ``meta["repairs"]``), all ``# key: value`` comments stand in ``meta["comments"]``;
    ``meta["checksum_verified"]`` says whether the header's checksums could be compared,
    ``meta["microvolts_per_count"]`` (leads,) how the file is scaled.

    SignalError (stage ``read``): ``unreadable`` (absent, truncated or damaged file),
    ``checksum``, ``unknown_rate`` (wfdb itself would assume 250 Hz), ``unit`` (no gain, a gain
    of 0, where wfdb would assume 200, or a unit that is no voltage) or ``too_large``.
    """
    path = Path(path_without_ext)
    if path.suffix.lower() in WFDB_SUFFIXES[1:]:
        path = path.with_suffix("")
    header = read_header(path.with_name(path.name + ".hea"))
    plain = plain_signals(header)
    digital = read_digital(path.parent, plain, header.n_samples or 0) if plain else None
    if plain is None or digital is None:
        digital, signal, leads = _read_by_wfdb(path, header)
    else:
        signal, leads = to_millivolts(digital, plain, header.to_millivolts), plain.names
    verified = _verify(path, header, digital)
    age, sex, repairs = age_and_sex_of_comments(header.comments)
    return Recording(
        signal=signal.T,
        leads=leads,
        sampling_rate=header.sampling_rate,
        record_id=path.name,
        age=age,
        sex=sex,
        meta={
            "format": "WFDB",
            "comments": header.comments,
            "repairs": repairs,
            "checksum_verified": verified,
            "microvolts_per_count": [1000 * step for step in header.units_per_count],
        },
    )


def _read_by_wfdb(path: Path, header: WfdbHeader) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Digital samples and millivolts (signals, samples), and the names."""
    wfdb = _import_wfdb()
    for line in header.signal_lines:
        name = line.split()[0]
        if Path(name).name != name:
            raise SignalError(
                "read", "unreadable", f"{path}.hea refers to {name}, which is not in its folder."
            )
        size = check_file(path.parent / name)
        if header.n_samples is None:  # wfdb then takes as many as the file may hold
            check_values(path.parent / name, size, 1)
    try:
        record: Any = wfdb.rdrecord(str(path.absolute()), physical=False, return_res=32)
        digital = np.asarray(record.d_signal).T
        with np.errstate(over="ignore"):  # an absurd gain gives infinity, which the checks refuse
            physical = record.dac(return_res=64) * np.array(header.to_millivolts)
            signal = physical.T.astype(np.float32)
        leads = tuple(str(name or "") for name in record.sig_name)
    except Exception as error:  # wfdb and its decoders raise anything on damaged files
        raise SignalError(
            "read",
            "unreadable",
            f"{path} cannot be read as WFDB ({type(error).__name__}: {_one_line(error)}).",
        ) from error
    return digital, signal, leads


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _import_wfdb() -> Any:
    """wfdb, imported on first use; wfdb 4.3 calls pandas in a deprecated way while importing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    return wfdb


def _verify(path: Path, header: WfdbHeader, digital: np.ndarray) -> bool:
    """Compare length and checksums (16-bit sums) with the header; whether all were comparable."""
    if header.n_samples is not None and digital.shape[1] != header.n_samples:
        raise SignalError(
            "read",
            "unreadable",
            f"{path} holds {digital.shape[1]} samples, but its header says {header.n_samples}.",
        )
    if not header.plain or None in header.checksums:
        return False
    if digital.dtype != np.int16:
        digital = digital.astype(np.int16)  # the low 16 bits
    sums = np.add.reduce(digital, axis=1, dtype=np.int16)  # which wraps around as checksums do
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
