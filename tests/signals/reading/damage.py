"""Damaged ECG files of every format, as a function of a seed, and what reading one comes to.

As a script, ``python damage.py FORMAT FIRST COUNT`` reads that many damaged files in this process,
under a limit on memory and on time, and prints a line of JSON before and after each.
"""

import json
import re
import resource
import signal
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
from ecg_devices import WRITERS, counts, write_philips  # noqa: E402

MAX_SECONDS, MAX_MEMORY = 20, 3 * 2**30
_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_ABSURD = [
    b"0",
    b"-1",
    b"1",
    b"65535",
    b"2147483647",
    b"4294967295",
    b"99999999999999",
    b"9" * 400,
    b"1e308",
    b"-1e-308",
    b"1e999",
    b"nan",
    b"inf",
    b"",
    b"\xc2\xb2",
    b"x",
]
_ABSURD_BYTES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0"]
_BOMBS = [
    b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(b"<!ENTITY a%d '%s'>" % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12))
    + b"]>",
    b"<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///dev/zero'>]>",
    b"<!DOCTYPE x [<!ENTITY % p SYSTEM 'http://192.0.2.1/p'> %p;]>",
]


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage, by chance."""
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        data = kind(data, rng)
    return data


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    # Half of the time in the head, where the sizes stand.
    end = len(out) if rng.random() < 0.5 else min(len(out), 600)
    for _ in range(int(rng.integers(1, 30)) if end else 0):
        out[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data) + 1))
    return data[:start] + data[start + int(rng.integers(1, 5000)) :]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data) + 1))
    piece = data[start : start + int(rng.integers(1, 5000))]
    return data[:start] + piece * int(rng.integers(1, 40)) + data[start:]


def _noise(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = int(rng.integers(len(data) + 1)), int(rng.integers(1, 3000))
    fill = bytes(size) if rng.random() < 0.3 else rng.bytes(size)
    return data[:start] + fill + data[start + size :]


def _absurd_numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Numbers written as text, of which most stand in headers, become other ones."""
    found = list(re.finditer(rb"[0-9][0-9.]*", data[:20_000]))
    for match in sorted(
        (found[int(rng.integers(len(found)))] for _ in range(int(rng.integers(1, 4))) if found),
        key=lambda match: -match.start(),
    ):
        number = _ABSURD[int(rng.integers(len(_ABSURD)))]
        data = data[: match.start()] + number + data[match.end() :]
    return data


def _absurd_integers(data: bytes, rng: np.random.Generator) -> bytes:
    """Binary integers of a header become the largest, the smallest, zero."""
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(max(1, min(len(data), 1200))))
        size = int(rng.choice([1, 2, 4]))
        value = _ABSURD_BYTES[int(rng.integers(len(_ABSURD_BYTES)))][:size]
        data = data[:start] + value + data[start + size :]
    return data


def _tags(data: bytes, rng: np.random.Generator) -> bytes:
    """XML: an element goes, is nested, or stands many times; or an entity bomb comes in."""
    found = list(re.finditer(rb"<([A-Za-z]+)[^<>]*>", data))
    if not found:
        return _noise(data, rng)
    match = found[int(rng.integers(len(found)))]
    choice = rng.random()
    if choice < 0.25:
        return data[: match.start()] + data[match.end() :]
    if choice < 0.5:
        return data[: match.start()] + match[0] * int(rng.integers(2, 3000)) + data[match.end() :]
    if choice < 0.75:
        end = data.find(b"</" + match[1] + b">", match.end())
        end = end + len(match[1]) + 3 if end > 0 else match.end()
        return data[: match.start()] + data[end:]
    bomb = _BOMBS[int(rng.integers(len(_BOMBS)))]
    declared = re.match(rb"\s*<\?xml[^>]*\?>", data)
    at = declared.end() if declared else 0
    return data[:at] + bomb + data[at:].replace(b"</", b"&a11;&x;</", 3)


_KINDS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _truncate,
    _cut,
    _repeat,
    _noise,
    _absurd_numbers,
    _absurd_numbers,
    _absurd_integers,
    _tags,
)


def _write_wfdb(folder: Path, format_: str) -> list[Path]:
    samples = counts()
    name = "r.mat" if "+24" in format_ else "r.dat"
    files = {name: range(12)}
    if format_ == "516":  # FLAC holds at most eight channels
        import soundfile

        files = {"r_1.dat": range(8), "r_2.dat": range(8, 12)}
        for part, leads in files.items():
            soundfile.write(folder / part, samples[:, leads], 500, format="FLAC", subtype="PCM_16")
    elif format_ == "212":
        first, second = samples.reshape(-1, 2).T.astype(np.int64) & 0xFFF
        packed = [first & 255, (first >> 8) | (second >> 8 << 4), second & 255]
        np.stack(packed, axis=1).astype(np.uint8).tofile(folder / name)
    else:
        (folder / name).write_bytes(b"M" * (24 if "+24" in format_ else 0) + samples.tobytes())
    lines = ["r 12 500 5000"] + [
        f"{part} {format_} 200(0)/mV 16 0 {samples[0, i]} "
        f"{int(samples[:, i].sum(dtype=np.int64)) % 65536} 0 {_LEADS[i]}"
        for part, leads in files.items()
        for i in leads
    ]
    (folder / "r.hea").write_text("\n".join([*lines, "# Age: 50", "# Sex: F"]) + "\n")
    return [folder / "r.hea", *(folder / part for part in files)]


def _write_array(folder: Path, suffix: str) -> list[Path]:
    values = counts(1000) * 0.005
    if suffix == ".npy":
        np.save(folder / "a.npy", values.astype(np.float32))
    elif suffix == ".mat":
        import scipy.io

        content = {"feats": values.T, "curr_sample_rate": 500, "age": 50, "org_sample_rate": 400}
        scipy.io.savemat(folder / "a.mat", content)
    elif suffix == ".h5":
        import h5py

        with h5py.File(folder / "a.h5", "w") as file:
            tracings = np.stack([values, -values]).astype(np.float32)
            file.create_dataset("tracings", data=tracings, chunks=(1, 1000, 12), compression="gzip")
            file.create_dataset("exam_id", data=np.arange(2))
    else:
        np.savetxt(folder / "a.csv", values, "%.3f", ",", header=",".join(_LEADS), comments="")
    return [folder / f"a{suffix}"]


def _write_device(folder: Path, name: str) -> list[Path]:
    if name.startswith("philips_"):
        write_philips(folder / "e.xml", packed="packed" in name, utf16="utf16" in name)
        return [folder / "e.xml"]
    write, extension, _ = WRITERS[name]
    write(folder / f"e{extension}")
    return [folder / f"e{extension}"]


_WFDB = {"wfdb_16": "16", "wfdb_mat": "16x1+24", "wfdb_flac": "516", "wfdb_212": "212"}
_ARRAYS = {"npy": ".npy", "csv": ".csv", "hdf5": ".h5", "fairseq_mat": ".mat"}
FORMATS = (*_WFDB, *WRITERS, "philips_packed", "philips_utf16", *_ARRAYS)


def whole(folder: Path, name: str) -> list[Path]:
    """The files of an undamaged recording; the first is what is read."""
    if name in _WFDB:
        return _write_wfdb(folder, _WFDB[name])
    return _write_array(folder, _ARRAYS[name]) if name in _ARRAYS else _write_device(folder, name)


def outcome(path: Path, original: np.ndarray | None) -> str:
    """``read``, or ``stage: reason`` of the refusal; anything else is raised.

    ``original``: what a file whose checksums agree must still give.
    """
    from deepecg_jax.errors import UserError
    from deepecg_jax.signals.reading.read import read
    from deepecg_jax.signals.recording import Recording, SignalError
    from deepecg_jax.signals.standard.millivolt import standardize

    arguments = {}
    if path.suffix == ".mat":
        arguments = {"unit": "mV"}
    elif path.suffix in _ARRAYS.values():
        arguments = {"sampling_rate": 500, "unit": "mV", "leads": _LEADS}
    try:
        recording = read(f"{path}::tracings[1]" if path.suffix == ".h5" else path, **arguments)
        assert isinstance(recording, Recording)
        assert recording.signal.dtype == np.float32
        assert 0 < recording.sampling_rate < np.inf
        if original is not None and recording.meta["checksum_verified"] is True:
            np.testing.assert_array_equal(recording.signal, original)
        standardize(recording)
    except SignalError as error:
        assert "\n" not in str(error) and "MemoryError" not in str(error), str(error)
        return f"{error.stage}: {error.reason}"
    except UserError as error:
        assert "\n" not in str(error)
        return "user error"
    return "read"


def main(name: str, first: int, count: int) -> None:
    """Read ``count`` damaged files from seed ``first`` on."""
    from deepecg_jax.signals.reading.read import read

    def alarm(*_: object) -> None:
        raise TimeoutError(f"reading took over {MAX_SECONDS} s")

    signal.signal(signal.SIGALRM, alarm)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parts = whole(folder, name)
        path = parts[0]
        outcome(path, None)  # imports what it needs before memory is limited
        contents = {part: part.read_bytes() for part in parts}
        checked = name in _WFDB or name == "scp"
        original = read(path).signal if checked else None
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        for seed in range(first, first + count):
            rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
            print(json.dumps({"seed": seed}), flush=True)
            damaged = parts[int(rng.integers(len(parts)))]
            for part, data in contents.items():
                part.write_bytes(damage(data, rng) if part == damaged else data)
            # With a damaged header another scale may well be read.
            expected = None if damaged.suffix == ".hea" else original
            signal.alarm(MAX_SECONDS)
            try:
                result = outcome(path, expected)
            except Exception:
                result = "failed: " + traceback.format_exc()
            finally:
                signal.alarm(0)
            print(json.dumps({"seed": seed, "result": result}), flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"peak_mib": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
