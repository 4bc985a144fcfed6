"""CODE-15 %: HDF5 parts with exams.csv, and loose .mat files."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.io
from ecg_sources import write_csv

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.standard.millivolt import to_microvolts


def exams(n: int) -> list[dict]:
    rows = []
    for i in range(n):
        row = {"exam_id": 1000 + i, "age": 50 + i, "is_male": str(i % 2 == 0)}
        row |= {name: "False" for name in ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")}
        row |= {"patient_id": 7 if i < 2 else 100 + i, "death": "", "timey": ""}
        row |= {"normal_ecg": "False", "trace_file": f"exams_part{i % 2}.hdf5"}
        rows.append(row)
    rows[0] |= {"SB": "True", "death": "False", "timey": "3.846572"}
    rows[1] |= {"AF": "True"}
    rows[2] |= {"normal_ecg": "True", "death": "True", "timey": "1.0"}
    rows[3] |= {"age": "150", "LBBB": "", "RBBB": "True"}
    return rows


def at_400_hz(signal: np.ndarray) -> np.ndarray:
    return resample(signal, 250, 400).astype(np.float32)


def write_parts(folder: Path, signals: np.ndarray, rows: list[dict], lengths: list[int]) -> None:
    """Parts with 4096 samples an exam, padded on both sides, and a last row of zeros."""
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "exams.csv", rows)
    for part in sorted({row["trace_file"] for row in rows}):
        mine = [i for i, row in enumerate(rows) if row["trace_file"] == part]
        tracings = np.zeros((len(mine) + 1, 4096, 12), np.float32)
        for place, i in enumerate(mine):
            signal = at_400_hz(signals[i])[: lengths[i]]
            start = (4096 - len(signal)) // 2
            tracings[place, start : start + len(signal)] = signal
        with h5py.File(folder / part, "w") as file:
            file["tracings"] = tracings
            file["exam_id"] = np.array([rows[i]["exam_id"] for i in mine] + [0])


def test_parts_with_padding_labels_and_follow_up(signals, tmp_path) -> None:
    write_parts(tmp_path / "s", signals, exams(8), [4000, 2800, *[4000] * 6])
    built = build("code15", tmp_path / "d", tmp_path / "s", options={"shares": "1/0/0"})
    split = open_split(tmp_path / "d", "code15", "train")
    ecgs = {split[i]["record_id"]: split[i] for i in range(len(split))}
    assert len(ecgs) == 8 and built.summary["rejects"]["total"] == 0

    def label(exam: str, name: str) -> int:
        return int(ecgs[exam]["labels"][split.label_names.index(name)])

    first = ecgs["1000"]
    error = first["signal"].astype(int) - to_microvolts(signals[0])
    assert np.abs(error[100:-100]).mean() < 15  # there and back between 250 and 400 Hz
    assert first["sex"] == "male" and ecgs["1001"]["sex"] == "female"
    assert first["patient_id"] == ecgs["1001"]["patient_id"] == "7"
    assert (float(first["time_days"]), int(first["event"])) == (1404.0, 0)
    assert (float(ecgs["1002"]["time_days"]), int(ecgs["1002"]["event"])) == (365.0, 1)
    assert int(ecgs["1001"]["event"]) == -1 and np.isnan(ecgs["1003"]["age"])
    assert label("1000", "code15:SB") == label("1000", "Bradycardia") == 1
    assert label("1000", "Sinusal") == 1 and label("1000", "Afib") == 0
    assert label("1001", "Afib") == 1 and label("1001", "Sinusal") == 0
    assert label("1001", "Bradycardia") == label("1004", "Sinusal") == -1
    assert label("1002", "Sinusal") == 1 and label("1002", "Bradycardia") == 0
    assert label("1003", "code15:LBBB") == label("1003", "Left bundle branch block") == -1
    assert label("1003", "Right bundle branch block") == 1
    samples = dict(
        zip(split.index.column("record_id").to_pylist(), split.valid_samples, strict=True)
    )
    assert samples["1001"] == 1750 and samples["1000"] == 2500
    assert built.summary["counts"] == {"padded": 1, "impossible_age": 1}


def test_parts_and_exams_that_are_not_there(signals, tmp_path) -> None:
    rows = exams(6)
    write_parts(tmp_path / "s", signals, rows, [4000] * 6)
    (tmp_path / "s/exams_part1.hdf5").unlink()
    write_csv(tmp_path / "s/exams.csv", [*rows, {**rows[0], "exam_id": 5}])
    built = build("code15", tmp_path / "d", tmp_path / "s")
    assert built.summary["records"] == 3
    assert built.summary["counts"]["exams_in_parts_that_are_not_there"] == 3
    (reject,) = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert (reject["record_id"], reject["reason"]) == ("5", "missing_file")


def test_an_empty_tracing_and_a_damaged_part(signals, tmp_path) -> None:
    write_parts(tmp_path / "s", signals, exams(4), [0, 4000, 4000, 4000])
    built = build("code15", tmp_path / "d", tmp_path / "s")
    assert built.summary["rejects"]["by_reason"] == {"check: empty": 1}
    (tmp_path / "s/exams_part0.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(UserError, match=r"exams_part0.hdf5 has no readable data set 'exam_id'"):
        build("code15", tmp_path / "d2", tmp_path / "s")


def test_loose_files(signals, tmp_path) -> None:
    rows = [{k: v for k, v in row.items() if k != "trace_file"} for row in exams(4)]
    (tmp_path / "s/org").mkdir(parents=True)
    for row, signal in zip(rows, signals[:3], strict=False):
        content = {"feats": at_400_hz(signal).T, "curr_sample_rate": 400}
        scipy.io.savemat(tmp_path / f"s/org/code_15_{row['exam_id']}.mat", content)
    (tmp_path / "s/org/code_15_1002.mat").write_bytes(b"damaged")
    write_csv(tmp_path / "s/exams.csv", rows)
    built = build("code15", tmp_path / "d", tmp_path / "s")
    assert built.summary["records"] == 2
    assert built.summary["rejects"]["by_reason"] == {
        "read: unreadable": 1,
        "read: missing_file": 1,
    }


def test_folders_that_are_not_code15(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(UserError, match="has no exams.csv"):
        build("code15", tmp_path / "d", tmp_path / "s")
    write_csv(tmp_path / "s/exams.csv", [{"exam_id": 1, "age": 2}])
    with pytest.raises(UserError, match="no column 'patient_id'"):
        build("code15", tmp_path / "d", tmp_path / "s")
    write_csv(tmp_path / "s/exams.csv", exams(4))
    with pytest.raises(UserError, match=r"no exams_part\*.hdf5"):
        build("code15", tmp_path / "d", tmp_path / "s")


@pytest.mark.real
def test_real_exams(shared, tmp_path) -> None:
    built = build("code15", tmp_path / "d", shared / "data/code15")
    assert built.summary["records"] == 10 and built.summary["counts"] == {"padded": 6}
    labels = built.summary["labels"]
    for name, positive in (("1dAVb", 3), ("RBBB", 3), ("SB", 2), ("ST", 2), ("LBBB", 0)):
        splits = labels[f"code15:{name}"].values()
        assert sum(split["positive"] for split in splits) == positive
