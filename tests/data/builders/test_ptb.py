"""The PTB Diagnostic database: 15 leads, several rates, patients by folder."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.labels import ptb
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.standard.millivolt import to_microvolts

LEADS = (*(lead.lower() for lead in STANDARD_LEADS), "vx", "vy", "vz")


def write(folder, patient: str, name: str, signal, rate: float, comments: str) -> None:
    frank = np.zeros((len(signal), 3)) + np.sin(np.arange(len(signal)))[:, None]
    both = np.concatenate([signal, frank], axis=1)
    write_wfdb(folder / patient / name, both, rate, 2000.0, LEADS, comments)


@pytest.fixture
def source(tmp_path, signals):
    infarct = (
        "\n# age: 81\n# sex: female\n# ECG date: 01/10/1990\n#\n# Diagnose:\n"
        "# Reason for admission: Myocardial infarction\n"
        "# Acute infarction (localization): infero-latera\n"
        "# Former infarction (localization): no\n# Additional diagnoses: Diabetes mellitus\n"
    )
    folder = tmp_path / "s"
    write(folder, "patient001", "s0010_re", signals[0], 250, infarct)
    at_1000 = resample(signals[1], 250, 1000)
    write(folder, "patient001", "s0014lre", at_1000, 1000, infarct)
    unknown = "# age: n/a\n# sex: male\n# Reason for admission: n/a\n"
    write(folder, "patient002", "s0015lre", signals[2], 250, unknown)
    healthy = "# age: 37\n# sex: male\n# Reason for admission: Healthy control\n"
    write(folder, "patient180", "s0475_re", signals[3], 250, healthy)
    heart = "# age: 300\n# sex: male\n# Reason for admission: Heart failure (NYHA 3)\n"
    write(folder, "patient007", "s0026lre", signals[4], 250, heart)
    return folder


def test_recordings_people_and_diagnoses(source, signals, tmp_path) -> None:
    (source / "patient180/s0475_re.dat").write_bytes(b"short")
    built = build("ptb", tmp_path / "d", source, options={"shares": "1/0/0"})
    split = open_split(tmp_path / "d", "ptb", "train")
    ecgs = {split[i]["record_id"]: split[i] for i in range(len(split))}
    assert set(ecgs) == {"s0010_re", "s0014lre", "s0015lre", "s0026lre"}
    there_and_back = resample(resample(signals[1], 250, 1000), 1000, 250)
    for name, expected in (("s0010_re", signals[0]), ("s0014lre", there_and_back)):
        error = ecgs[name]["signal"].astype(int) - to_microvolts(expected)
        assert np.abs(error).max() <= 1
    assert ecgs["s0010_re"]["patient_id"] == ecgs["s0014lre"]["patient_id"] == "patient001"
    assert ecgs["s0010_re"]["report"] == (
        "Myocardial infarction; acute infarction: infero-latera; also: Diabetes mellitus"
    )
    assert float(ecgs["s0010_re"]["age"]) == 81 and ecgs["s0010_re"]["sex"] == "female"

    def positive(name: str) -> set[str]:
        labels = ecgs[name]["labels"]
        return {n for n, v in zip(split.label_names, labels, strict=True) if v == 1}

    assert positive("s0010_re") == {"ptb:myocardial infarction"}
    assert positive("s0026lre") == {"ptb:cardiomyopathy or heart failure"}
    assert set(ecgs["s0015lre"]["labels"].tolist()) == {-1}
    assert built.summary["counts"] == {"impossible_age": 1, "no_diagnosis": 1}
    (reject,) = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert reject["record_id"] == "s0475_re" and reject["reason"] == "unreadable"
    assert not any("no folder patientNNN" in note for note in built.summary["notes"])


def test_reasons_for_admission() -> None:
    assert ptb.diagnosis_of("Cardiomyopathy") == ptb.diagnosis_of("Heart failure (NYHA 2)")
    assert ptb.diagnosis_of("n/a") == ptb.diagnosis_of("broken leg") == ""
    assert len(ptb.label_names()) == 9


def test_a_folder_without_headers(tmp_path) -> None:
    with pytest.raises(UserError, match=r"holds no \.hea file of the PTB"):
        build("ptb", tmp_path / "d", tmp_path)


@pytest.mark.real
def test_the_real_recording(shared, tmp_path) -> None:
    options = {"windows": "all"}
    built = build("ptb", tmp_path / "d", shared / "data/ptb", options=options)
    assert built.summary["records"] == 3 and built.summary["rejects"]["total"] == 0
    assert "1 of 1 recordings lie in no folder patientNNN" in built.summary["notes"][0]
    (split,) = built.summary["splits"].values()
    assert split["sex"] == {"female": 3} and split["age_median"] == 81
