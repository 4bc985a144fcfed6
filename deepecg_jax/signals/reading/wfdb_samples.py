"""The samples of plain WFDB records without wfdb: formats 16 and 516 (FLAC), one sample a frame.

wfdb builds every header through pandas, which takes 7 to 8 ms a record; reading the samples takes
1 ms. So a record whose header is written in full and without a peculiarity is read here, to the
same numbers; anything else is left to wfdb. Format: https://wfdb.io/spec/signal-files.html
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from deepecg_jax.signals.reading.limits import check_file
from deepecg_jax.signals.reading.wfdb_header import WfdbHeader
from deepecg_jax.signals.recording import SignalError

_READ_HERE = ("16", "516")
_MISSING = -32768  # the code for "no sample" in both formats


@dataclass(frozen=True)
class PlainSignals:
    """What a header in full form says about its signals, one entry a signal."""

    files: tuple[tuple[str, str, int, int], ...]
    """(file name, format, byte offset, number of signals), in the order of the signals."""
    gains: tuple[float, ...]
    baselines: tuple[int, ...]
    names: tuple[str, ...]


def plain_signals(header: WfdbHeader) -> PlainSignals | None:
    """The header's signals if every one of them can be read here, else None."""
    if header.full is None or header.n_samples is None:
        return None
    files: list[tuple[str, str, int, int]] = []
    gains, baselines, names = [], [], []
    for said in header.full:
        if said["format"] not in _READ_HERE:
            return None
        file = str(said["file"]), str(said["format"]), int(said["offset"] or 0)
        if files and files[-1][:3] == file:
            files[-1] = (*file, files[-1][3] + 1)
        else:
            files.append((*file, 1))
        gains.append(float(said["gain"] or 0))
        # A baseline that is not given is the ADC's zero.
        baselines.append(int((said["zero"] if said["baseline"] is None else said["baseline"]) or 0))
        names.append(str(said["name"]))
    split = len({name for name, *_ in files}) < len(files)
    offset_in_flac = any(format_ == "516" and offset for _, format_, offset, _ in files)
    if split or offset_in_flac:
        return None
    return PlainSignals(tuple(files), tuple(gains), tuple(baselines), tuple(names))


def read_digital(folder: Path, signals: PlainSignals, n_samples: int) -> np.ndarray | None:
    """The (signals, n_samples) int16 samples; None for a FLAC stream of other than 16 bits.

    SignalError ``unreadable`` if a file is absent, too short or no FLAC stream.
    """
    digital = np.empty((len(signals.names), n_samples), np.int16)
    row = 0
    for name, format_, offset, n_signals in signals.files:
        path = folder / name
        size = check_file(path)
        if format_ == "516":
            part = _read_flac(path, n_signals, n_samples)
            if part is None:
                return None
        else:
            held = max(0, size - offset) // (2 * n_signals)
            part = np.fromfile(path, "<i2", min(held, n_samples) * n_signals, offset=offset)
            part = part.reshape(-1, n_signals)
        if len(part) < n_samples:
            raise SignalError(
                "read",
                "unreadable",
                f"{path} holds {len(part)} samples, but its header says {n_samples}.",
            )
        digital[row : row + n_signals] = part.T
        row += n_signals
    return digital


def to_millivolts(
    digital: np.ndarray, signals: PlainSignals, factors: tuple[float, ...]
) -> np.ndarray:
    """(digital - baseline) / gain * factor, row by row, rounded to float32; NaN where missing.

    There are only 65,536 counts, so they are looked up: the same numbers as by arithmetic on
    doubles, in half the time.
    """
    scales = list(zip(signals.gains, signals.baselines, factors, strict=True))
    counts = digital.view(np.uint16)
    if len(set(scales)) == 1:
        return np.take(_table(*scales[0]), counts, mode="wrap")
    rows = [
        np.take(_table(*scale), row, mode="wrap") for scale, row in zip(scales, counts, strict=True)
    ]
    return np.stack(rows)


@lru_cache(maxsize=64)
def _table(gain: float, baseline: int, factor: float) -> np.ndarray:
    """Millivolts of every 16-bit count, by the count's bits."""
    counts = np.arange(2**16, dtype=np.uint16).view(np.int16)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        table = ((counts.astype(np.float64) - baseline) / gain * factor).astype(np.float32)
    table[counts == _MISSING] = np.nan
    table.setflags(write=False)
    return table


def _read_flac(path: Path, n_signals: int, n_samples: int) -> np.ndarray | None:
    import soundfile

    try:
        with path.open("rb") as file:
            if file.read(4) != b"fLaC":
                raise SignalError("read", "unreadable", f"{path} is not a FLAC stream.")
        with soundfile.SoundFile(path) as stream:
            if stream.subtype != "PCM_16":
                return None
            if stream.channels != n_signals:
                raise SignalError(
                    "read",
                    "unreadable",
                    f"{path} holds {stream.channels} signals, but its header says {n_signals}.",
                )
            return stream.read(n_samples, dtype="int16", always_2d=True)
    except SignalError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise SignalError(
            "read", "unreadable", f"{path} cannot be read as FLAC ({error})."
        ) from error
