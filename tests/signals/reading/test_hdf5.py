"""HDF5 recordings: places inside files, attributes, and what is wrong with them."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.hdf5 import close_files, is_hdf5
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import SignalError

h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
GIVEN = {"sampling_rate": 500, "unit": "uV", "leads": STANDARD_LEADS}


@pytest.fixture
def path(tmp_path):
    values = np.random.default_rng(0).normal(0, 300, (3, 1000, 12))
    with h5py.File(tmp_path / "ecgs.h5", "w") as file:
        file["tracings"] = values
        file["by/name"] = values[1].T
        file["by/name"].attrs["sampling_rate"] = 250
        file["by/name"].attrs["unit"] = "mV"
        file["by/name"].attrs["leads"] = [lead.encode() for lead in STANDARD_LEADS]
        file["ids"] = np.arange(3)
    yield tmp_path / "ecgs.h5", values
    close_files()


def test_rows_data_sets_and_attributes(path) -> None:
    file, values = path
    row = read(f"{file}::tracings[1]", **GIVEN)
    np.testing.assert_allclose(row.signal, values[1] / 1000, rtol=1e-6)
    assert row.sampling_rate == 500 and row.leads == STANDARD_LEADS
    assert row.record_id == "tracings_1"
    stated = read(f"{file}::by/name")
    np.testing.assert_allclose(stated.signal, values[1], rtol=1e-6)
    assert stated.sampling_rate == 250 and stated.leads == STANDARD_LEADS
    only = read(file, **GIVEN)
    np.testing.assert_allclose(only.signal, values[1] / 1000, rtol=1e-6)
    assert is_hdf5("x.HDF5::a[2]") and not is_hdf5("x.hea")


@pytest.mark.parametrize(
    ("place", "reason", "words"),
    [
        ("::tracings[3]", "unreadable", "has 3 rows, so none is 3"),
        ("::tracings", "unreadable", "has 3 axes; name one of its recordings"),
        ("::by", "unreadable", "is a group"),
        ("::nothing", "unreadable", "nothing"),
        ("::a[b]", "unreadable", "no place"),
        ("::ids", "unreadable", "has 1 axes"),
    ],
)
def test_places_that_are_not_there(path, place, reason, words) -> None:
    with pytest.raises(SignalError, match=words) as caught:
        read(f"{path[0]}{place}", **GIVEN)
    assert caught.value.reason == reason


def test_a_file_of_many_recordings_says_how_to_name_one(tmp_path) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file["tracings"] = np.zeros((3, 100, 12))
    with pytest.raises(SignalError, match=r"name each in a table as many.h5::tracings\[0\]"):
        read(tmp_path / "many.h5", **GIVEN)


def test_what_the_numbers_are_must_be_known(path) -> None:
    with pytest.raises(UserError, match="give sampling_rate, unit, leads as well"):
        read(f"{path[0]}::tracings[0]")
    for wrong, reason in (
        ({"sampling_rate": 0}, "unknown_rate"),
        ({"unit": "kg"}, "unit"),
        ({"leads": ("I", "II")}, "shape"),
    ):
        with pytest.raises(SignalError) as caught:
            read(f"{path[0]}::tracings[0]", **(GIVEN | wrong))
        assert caught.value.reason == reason


def test_damaged_and_absent_files(tmp_path) -> None:
    (tmp_path / "x.h5").write_bytes(b"no HDF5")
    for name in ("x.h5", "y.h5", "y.h5::a[0]"):
        with pytest.raises(SignalError, match="cannot be read"):
            read(tmp_path / name, **GIVEN)
