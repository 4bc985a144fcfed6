"""Every reader stands behind the same guards, and `read` knows every one."""

import ast
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from ecg_devices import write_cardiosoft, write_muse
from ecg_sources import write_wfdb

from deepecg_jax.errors import UserError
from deepecg_jax.signals import reading
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading import mat5
from deepecg_jax.signals.reading.fairseq_mat import read_fairseq_mat
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording, SignalError

VALUES = np.random.default_rng(0).normal(0, 0.3, (2500, 12)).astype(np.float32)
SAID = {"sampling_rate": 250, "unit": "mV", "leads": STANDARD_LEADS}


def wfdb(folder: Path) -> Path:
    write_wfdb(folder / "r", VALUES)
    return folder / "r.dat"


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", VALUES)
    return folder / "a.npy"


def mat(folder: Path) -> Path:
    scipy.io.savemat(folder / "f.mat", {"feats": VALUES.T, "curr_sample_rate": 250})
    return folder / "f.mat"


def hdf5(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    with h5py.File(folder / "e.h5", "w") as file:
        file["ecg"] = VALUES
        file.create_dataset("long", shape=(10**8, 12), chunks=(1000, 12), dtype="f4")
    return folder / "e.h5"


def muse(folder: Path) -> Path:
    pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")
    write_muse(folder / "m.xml")
    return folder / "m.xml"


def cardiosoft(folder: Path) -> Path:
    pytest.importorskip("defusedxml", reason="needs the extra `formats`")
    write_cardiosoft(folder / "c.xml")
    return folder / "c.xml"


# reader -> what writes a file of it, what `read` must be told, and the place inside the file
READERS: dict[str, tuple[Callable[[Path], Path], dict, str]] = {
    "read_wfdb": (wfdb, {}, ""),
    "read_array": (npy, SAID, ""),
    "read_hdf5": (hdf5, SAID, "::ecg"),
    "read_fairseq_mat": (mat, {"unit": "mV"}, ""),
    "read_vendor": (muse, {}, ""),
    "read_cardiosoft": (cardiosoft, {}, ""),
}
every = pytest.mark.parametrize("name", READERS)


def refusal(path: Path, name: str, place: str | None = None) -> SignalError:
    _, said, inside = READERS[name]
    with pytest.raises(SignalError) as caught:
        read(f"{path}{inside if place is None else place}", **said)
    assert "\n" not in str(caught.value) and path.stem in str(caught.value)
    assert caught.value.stage == "read"
    return caught.value


def test_these_are_all_readers():
    folder = Path(reading.__file__).parent
    found = {
        node.name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("read_")
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "Recording"
    }
    assert found == set(READERS)


@every
def test_read_knows_it(name, tmp_path):
    write, said, place = READERS[name]
    recording = read(f"{write(tmp_path)}{place}", **said)
    assert isinstance(recording, Recording) and len(recording.signal) > 1000
    assert recording.meta.get("format")


@every
def test_a_damaged_file_is_refused(name, tmp_path):
    path = READERS[name][0](tmp_path)
    whole = path.read_bytes()
    # WFDB's samples have no head: there the end is missing
    path.write_bytes(
        whole[: len(whole) // 2] if name == "read_wfdb" else whole[:140] + b"\x01" * 99
    )
    assert refusal(path, name).reason in ("unreadable", "checksum", "unknown_format")
    path.write_bytes(b"")
    refusal(path, name)


@every
def test_an_oversized_file_is_refused_before_it_is_read(name, tmp_path):
    path = READERS[name][0](tmp_path)
    if name == "read_hdf5":  # may hold many recordings: one of them is too large
        assert refusal(path, name, "::long").reason == "too_large"
        return
    os.truncate(path, 2**40)  # sparse: takes no room
    assert refusal(path, name).reason == "too_large"


@every
def test_no_regular_file_is_refused(name, tmp_path):
    path = READERS[name][0](tmp_path)
    path.unlink()
    os.mkfifo(path)  # reading would wait for ever
    assert refusal(path, name).reason in ("unreadable", "unknown_format")


def test_fairseq_is_told_from_wfdb_by_content(tmp_path):
    path = mat(tmp_path)
    with pytest.raises(UserError, match="states its sampling rate but no unit; give unit alone"):
        read(path)
    with pytest.raises(UserError, match="give unit alone"):
        read(path, **SAID)
    named = read(path, unit="uV", leads=[f"x{i}" for i in range(12)])
    assert named.leads[0] == "x0"
    np.testing.assert_allclose(named.signal, VALUES / 1000, rtol=1e-6)
    write_wfdb(tmp_path / "f", VALUES)  # now a header stands beside it
    assert read(path).meta.get("format") == "WFDB"


def packed(name: str, content: object, unpacked: int = 0) -> bytes:
    """A MATLAB 5 file whose one element unpacks to so many bytes more."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: content})
    head, element = buffer.getvalue()[:128], buffer.getvalue()[128:]
    stream = zlib.compressobj(1)
    body = stream.compress(element)
    for _ in range(unpacked // 2**20):
        body += stream.compress(bytes(2**20))
    body += stream.flush()
    return head + struct.pack("<II", 15, len(body)) + body


def test_a_packed_file_may_not_unpack_to_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(mat5, "MAX_UNPACKED_BYTES", 8 * 2**20)
    (tmp_path / "b.mat").write_bytes(packed("feats", VALUES.T, 16 * 2**20))
    with pytest.raises(SignalError, match="unpacks to more than 8 MiB") as caught:
        read_fairseq_mat(tmp_path / "b.mat", unit="mV")
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"feats": VALUES.T}, "unreadable"),
        ({"feats": VALUES.T, "curr_sample_rate": -1}, "unknown_rate"),
        ({"feats": VALUES.T, "curr_sample_rate": np.nan}, "unknown_rate"),
        ({"feats": VALUES, "curr_sample_rate": 250}, "shape"),
        ({"feats": "text", "curr_sample_rate": 250}, "unreadable"),
    ],
)
def test_what_a_fairseq_file_must_hold(content, reason, tmp_path):
    scipy.io.savemat(tmp_path / "f.mat", content)
    with pytest.raises(SignalError) as caught:
        read(tmp_path / "f.mat", unit="mV")
    assert caught.value.reason == reason


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "f4", "i2", "u1", "i8"])
@pytest.mark.parametrize("packed_up", [False, True])
def test_numbers_of_any_type_are_what_scipy_reads(dtype, packed_up, tmp_path):
    values = np.arange(36).reshape(12, 3).astype(dtype)
    content = {"feats": values, "curr_sample_rate": 500, "text": "x" * 9, "c": {"d": 1 + 2j}}
    scipy.io.savemat(tmp_path / "f.mat", content, do_compression=packed_up)
    found = mat5.read_mat5(tmp_path / "f.mat", ("feats", "curr_sample_rate"))
    expected = scipy.io.loadmat(tmp_path / "f.mat")
    assert set(found) == {"feats", "curr_sample_rate"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
