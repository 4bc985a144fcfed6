"""``deepecg inspect FILE``: what was understood, and the drawing."""

from pathlib import Path

import numpy as np
import pytest
from ecg_devices import counts, write_cardiosoft, write_muse
from ecg_sources import write_wfdb

from deepecg_jax.cli import inspect as command
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS

pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")
pytest.importorskip("matplotlib", reason="needs the extra `formats`")


def shown(capsys) -> str:
    return " ".join(capsys.readouterr().out.replace("\u2502", " ").split())


def test_a_muse_file_is_explained_and_drawn_in_this_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    write_muse(tmp_path / "files" / "m1.xml")
    command.command(tmp_path / "files" / "m1.xml")
    text = shown(capsys)
    for expected in (
        "GE MUSE XML",
        "4.88 uV a count",
        "10 s at 500 Hz",
        "I, II, V1, V2, V3, V4, V5, V6",
        "derived leads III, aVR, aVL, aVF",
        "63 years",
        "female",
        "Mount Royal",
        "Sinus rhythm",
        "rate 60 /min",
        "checksums agree",
        "12 leads x 10 s at 250 Hz",
    ):
        assert expected in text
    assert (tmp_path / "m1.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "files" / "m1.png").exists()


def test_another_place_for_the_drawing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cardiosoft(tmp_path / "c.xml")
    command.command(tmp_path / "c.xml", tmp_path / "x.png")
    assert [path.name for path in tmp_path.glob("*.png")] == ["x.png"]


def test_wfdb_is_drawn_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wfdb(tmp_path / "files/ecg7", counts() / 200)
    command.command(tmp_path / "files/ecg7.hea")
    text = shown(capsys)
    assert "I, II, III, aVR" in text and "drawn in" in text
    assert (tmp_path / "ecg7.png").is_file()


def test_a_refused_recording_is_shown_drawn_and_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_muse(tmp_path / "flat.xml", np.zeros((5000, 8), "<i2"))
    with pytest.raises(UserError, match="was read but cannot be used .check, flat_lead"):
        command.command(tmp_path / "flat.xml")
    assert "GE MUSE XML" in shown(capsys)
    assert (tmp_path / "flat.png").is_file()


def test_without_matplotlib_it_is_an_svg_and_says_so(tmp_path, capsys, monkeypatch):
    from deepecg_jax.signals.drawing import png as paper

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper, "has_matplotlib", lambda: False)
    write_muse(tmp_path / "m.xml")
    command.command(tmp_path / "m.xml")
    assert "needs matplotlib" in shown(capsys)
    assert (tmp_path / "m.svg").read_text().startswith("<svg")


def test_a_recording_inside_an_hdf5_file(tmp_path, capsys, monkeypatch):
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        tracings = file.create_dataset("tracings", data=np.stack([counts() * 0.005] * 2))
        tracings.attrs.update(sampling_rate=500, unit="mV", leads=",".join(STANDARD_LEADS))
    command.command(Path(f"{tmp_path}/e.h5::tracings[1]"))
    assert "HDF5" in shown(capsys)
    assert (tmp_path / "tracings_1.png").is_file()
