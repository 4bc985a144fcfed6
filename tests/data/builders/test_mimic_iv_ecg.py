"""MIMIC-IV-ECG: leads in another order, machine statements, ages of the anchor year."""

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_csv, write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.standard.millivolt import to_microvolts

ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
REPORTS = (
    ("Sinus rhythm with PAC(s)", "Possible left atrial abnormality", "Abnormal ECG"),
    ("Atrial fibrillation with rapid ventricular response", "LBBB", "Abnormal ECG"),
    ("Sinus bradycardia", "Normal ECG except for rate", ""),
    ("", "", ""),
    ("Ventricular pacing", "Pacemaker rhythm - no further analysis", ""),
)


@pytest.fixture
def source(tmp_path, signals):
    folder, records, machine = tmp_path / "s", [], []
    columns = [STANDARD_LEADS.index(lead) for lead in ORDER]
    for i, reports in enumerate(REPORTS):
        subject, study = 10_000_000 + i // 2, 40_000_000 + i
        path = f"files/p1000/p{subject}/s{study}/{study}"
        write_wfdb(folder / path, signals[i][:, columns], leads=ORDER)
        row = {"subject_id": subject, "study_id": study, "ecg_time": f"2180-07-2{i} 08:44:00"}
        records.append({**row, "file_name": study, "path": path})
        said = {f"report_{k}": text for k, text in enumerate(reports)}
        machine.append({**row, "cart_id": 6848296, **said, "bandwidth": "0.005-150 Hz"})
    write_csv(folder / "record_list.csv", records)
    write_csv(folder / "machine_measurements.csv", machine[:4] + machine[4:])
    return folder


def test_leads_statements_and_patients(source, signals, tmp_path) -> None:
    patients = [
        {"subject_id": 10_000_000, "gender": "F", "anchor_age": 52, "anchor_year": 2178},
        {"subject_id": 10_000_001, "gender": "M", "anchor_age": 91, "anchor_year": 2170},
    ]
    write_csv(tmp_path / "patients.csv", patients)
    text = (tmp_path / "patients.csv").read_bytes()
    (tmp_path / "patients.csv.gz").write_bytes(gzip.compress(text))
    options = {"shares": "1/0/0", "patients_table": str(tmp_path / "patients.csv.gz")}
    built = build("mimic_iv_ecg", tmp_path / "d", source, options=options)
    split = open_split(tmp_path / "d", "mimic_iv_ecg", "train")
    ecgs = {split[i]["record_id"]: split[i] for i in range(len(split))}
    for i in range(5):
        expected = to_microvolts(np.rint(signals[i] * 1000) / 1000)
        np.testing.assert_array_equal(ecgs[f"4000000{i}"]["signal"], expected)
    people = [(float(ecg["age"]), ecg["sex"]) for _, ecg in sorted(ecgs.items())]
    assert people[:4] == [(54, "female"), (54, "female"), (90, "male"), (90, "male")]
    assert ecgs["40000000"]["report"].splitlines() == list(REPORTS[0])
    assert ecgs["40000000"]["device"] == "cart 6848296"

    def label(i: int, name: str) -> int:
        return int(ecgs[f"4000000{i}"]["labels"][split.label_names.index(name)])

    assert label(0, "Sinusal") == label(0, "Premature atrial complex") == 1
    assert label(0, "Left atrial enlargement") == -1 and label(0, "Afib") == 0
    assert label(1, "Afib") == label(1, "Left bundle branch block") == 1
    assert label(1, "Sinusal") == label(1, "Bradycardia") == label(1, "machine:normal ECG") == 0
    assert label(2, "Bradycardia") == 1 and label(2, "machine:normal ECG") == -1
    assert set(ecgs["40000003"]["labels"].tolist()) == {-1}
    assert label(4, "Ventricular paced") == 1 and label(4, "Prolonged QT") == -1
    assert built.summary["counts"] == {"age_over_89": 2} and built.summary["patients"] == 3


def test_without_people_reports_or_files(source, tmp_path) -> None:
    rows = (source / "machine_measurements.csv").read_text().splitlines(keepends=True)
    (source / "machine_measurements.csv").write_text("".join(rows[:4]))
    next(source.rglob("40000001.dat")).write_bytes(b"")
    built = build("mimic_iv_ecg", tmp_path / "d", source)
    assert built.summary["counts"] == {"ecgs_without_report": 2}
    assert "patients_table=FILE" in built.summary["notes"][0]
    (reject,) = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert reject["record_id"] == "40000001" and reject["reason"] == "unreadable"


def test_folders_that_are_not_mimic(source, tmp_path) -> None:
    with pytest.raises(UserError, match=r"record_list.csv does not exist"):
        build("mimic_iv_ecg", tmp_path / "d", tmp_path)
    with pytest.raises(UserError, match=r"nobody.csv does not exist"):
        options = {"patients_table": str(tmp_path / "nobody.csv")}
        build("mimic_iv_ecg", tmp_path / "d", source, options=options)
    write_csv(source / "machine_measurements.csv", [{"study_id": 1, "cart_id": 2}])
    with pytest.raises(UserError, match="no column report_0"):
        build("mimic_iv_ecg", tmp_path / "d", source)
