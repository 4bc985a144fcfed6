"""Folders of ECG files without a table, and who their patients are."""

import numpy as np
import pytest
from ecg_sources import stored, write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording


def test_a_folder_without_a_table(signals, tmp_path) -> None:
    for i in range(6):
        write_wfdb(tmp_path / f"s/p{i // 2}/{i}", signals[i], comments="# Age: 50\n# Sex: F\n")
    (tmp_path / "s/p0/notes.txt").write_text("no ECG")
    options = {"patient_id": "folder"}
    built = build("table", tmp_path / "d", tmp_path / "s", options=options)
    ecgs = stored(tmp_path / "d")
    assert set(ecgs) == {f"p{i // 2}/{i}.hea" for i in range(6)}
    assert {ecg["patient_id"] for ecg in ecgs.values()} == {"p0", "p1", "p2"}
    assert {(float(ecg["age"]), ecg["sex"]) for ecg in ecgs.values()} == {(50.0, "female")}
    assert built.summary["notes"][0].startswith("The data set has no labels")
    options = {"files": "p1/*.hea", "patient_id": "file"}
    some = build("table", tmp_path / "some", tmp_path / "s", options=options)
    assert some.summary["records"] == 2
    assert "2 ECGs without an id in their file" in some.summary["notes"][0]
    alone = build("table", tmp_path / "alone", tmp_path / "s")
    assert "Nothing says who the patients are" in alone.summary["notes"][0]


def test_patients_in_files_by_several_processes(signals, tmp_path, monkeypatch) -> None:
    """WFDB states no patient; the order and the number of answers are those of the files."""
    from deepecg_jax.data.tables import folders

    monkeypatch.setattr(folders, "_ALONE", 1)
    records = []
    for i in range(3):
        write_wfdb(tmp_path / f"{i}", signals[i])
        records.append(PlannedRecord(str(i), "", "", str(tmp_path / f"{i}.hea")))
    (tmp_path / "1.dat").unlink()
    assert folders.patients_of_files(records, 2) == ["", "", ""]
    monkeypatch.setattr(
        folders,
        "read_planned",
        lambda record: Recording(
            signals[0], STANDARD_LEADS, 250.0, patient_id=f" p{record.record_id} "
        ),
    )
    assert folders.patients_of_files(records, 1) == ["p0", "p1", "p2"]


@pytest.mark.real
def test_real_device_files_build(shared, tmp_path) -> None:
    """The MUSE file's ECG is one of the Challenge's; CardioSoft's has 12 leads."""
    pytest.importorskip("ecgdatakit", reason="needs the extra formats")
    options = {"files": "*.xml", "patient_id": "file", "shares": "1/0/0"}
    built = build("table", tmp_path / "d", shared / "golden/preprocessing", options=options)
    assert built.summary["records"] == 2 and built.summary["rejects"]["total"] == 0
    for ecg in stored(tmp_path / "d").values():
        assert ecg["lead_mask"].all() and np.abs(ecg["signal"]).max() > 300
