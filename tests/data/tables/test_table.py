"""Your own ECGs by a table: formats, roles of columns, labels, splits, people, follow-up."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecg_sources import stored, write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.standard.millivolt import to_microvolts


def write_table(path: Path, rows: list[dict], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def rows_of(folder: Path, signals: np.ndarray, n: int = 8, **columns: list) -> list[dict]:
    """Write n WFDB records and give a row each; ``columns`` add or replace."""
    rows = []
    for i in range(n):
        write_wfdb(folder / f"ecg/{i}", signals[i])
        rows.append({"path": f"ecg/{i}.hea", **{name: v[i] for name, v in columns.items()}})
    return rows


def test_a_table_with_the_names_of_the_schema_needs_no_option(signals, tmp_path) -> None:
    columns = {
        "record_id": [f"r{i}" for i in range(8)],
        "patient_id": ["1.0", "1.0", *(f"{i}.0" for i in range(2, 8))],
        "age": ["56", "300", "-3", "", "067Y", "56,5", ">89", "old"],
        "sex": ["Homme", "femme", "M", "F", "männlich", "weiblich", "Kvinna", "?"],
        "split": ["train", "Train", "val", "validation", "TEST", "test", "training", ""],
        "report": [f"sinus rhythm, ECG {i}" for i in range(8)],
        "label:Afib": ["1", "0", "-1", "", "true", "False", "1.0", "0"],
        "Low voltage": list("01010101"),
        "comment": [f"ECG {i}" for i in range(8)],
    }
    write_table(tmp_path / "s/ecgs.csv", rows_of(tmp_path / "s", signals, **columns), ";")
    built = build("table", tmp_path / "d", tmp_path / "s", options={"age_over_89": "300"})
    ecgs = stored(tmp_path / "d")
    assert {name: ecg["split"] for name, ecg in ecgs.items()} == {
        "r0": "train",
        "r1": "train",
        "r2": "validation",
        "r3": "validation",
        "r4": "test",
        "r5": "test",
        "r6": "train",
    }
    for i in range(7):
        np.testing.assert_array_equal(
            ecgs[f"r{i}"]["signal"], to_microvolts(np.rint(signals[i] * 1000) / 1000)
        )
    assert ecgs["r0"]["patient_id"] == ecgs["r1"]["patient_id"] == "1"
    ages = [float(ecgs[f"r{i}"]["age"]) for i in range(7)]
    np.testing.assert_array_equal(ages, [56, 90, np.nan, np.nan, 67, 56.5, 90])
    sexes = [ecgs[f"r{i}"]["sex"] for i in range(7)]
    assert sexes == ["male", "female", "male", "female", "male", "female", "female"]
    assert [ecgs[f"r{i}"]["labels"]["Afib"] for i in range(7)] == [1, 0, -1, -1, 1, 0, 1]
    assert set(ecgs["r0"]["labels"]) == {"Afib", "Low voltage"}
    assert ecgs["r4"]["report"] == "sinus rhythm, ECG 4"
    assert built.summary["counts"] == {
        "age_over_89": 2,
        "impossible_age": 1,
        "rows_without_split": 1,
    }
    notes = " ".join(built.summary["notes"])
    assert "only 0, 1 and -1 (no, yes, unknown) are labels: label:Afib, Low voltage;" in notes
    assert "Columns without a use: comment." in notes


def test_columns_by_option_and_the_table_itself_as_source(signals, tmp_path) -> None:
    columns = {
        "file": [""] * 8,
        "subject_id": [f"p{i // 2}" for i in range(8)],
        "gender": ["1", "2", "1", "2", "9", "0", "", "2"],
        "dx_af": list("01010101"),
        "dx_rare": list("00000000"),
        "other": list("01010101"),
    }
    rows = rows_of(tmp_path / "s", signals, **columns)
    for row in rows:
        row["file"] = str(tmp_path / "s" / row.pop("path"))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "s/ecgs.parquet")
    options = {"path": "file", "patient_id": "subject_id", "sex": "gender", "labels": "dx_*"}
    built = build("table", tmp_path / "d", tmp_path / "s/ecgs.parquet", options=options)
    ecgs = list(stored(tmp_path / "d").values())
    assert len(ecgs) == 8 and set(ecgs[0]["labels"]) == {"dx_af", "dx_rare"}
    assert sorted(ecg["sex"] for ecg in ecgs).count("female") == 3
    where: dict[str, set] = {}
    for ecg in ecgs:
        where.setdefault(ecg["patient_id"], set()).add(ecg["split"])
    assert len(where) == 4 and all(len(splits) == 1 for splits in where.values())
    notes = " ".join(built.summary["notes"])
    assert "ISO/IEC 5218" in notes and "8 of 8 paths in the table are absolute" in notes
    assert "1 of 2 labels have fewer than two classes (1 never positive)" in notes
    assert built.summary["one_class_labels"]["never_positive"] == ["dx_rare"]


def test_npy_csv_and_hdf5_with_stated_rate_unit_and_leads(signals, tmp_path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    folder = tmp_path / "s"
    folder.mkdir()
    np.save(folder / "a.npy", signals[0].T * 1000)  # (leads, samples) in microvolts
    np.savetxt(
        folder / "b.csv", signals[1], delimiter=",", header=",".join(STANDARD_LEADS), comments=""
    )
    with h5py.File(folder / "c.h5", "w") as file:
        file["tracings"] = signals[2:4]
        file["tracings"].attrs["sampling_rate"] = 250.0
        file["other"] = np.zeros(3)
    rows = [
        {"path": "a.npy", "rate": "250", "volt": "uV", "row": ""},
        {"path": "b.csv", "rate": "250", "volt": "mV", "row": ""},
        {"path": "c.h5", "rate": "", "volt": "mV", "row": "1"},
        {"path": "c.h5::tracings[0]", "rate": "", "volt": "mV", "row": ""},
        {"path": "c.h5::tracings[7]", "rate": "", "volt": "mV", "row": ""},
        {"path": "c.h5::other", "rate": "", "volt": "mV", "row": ""},
    ]
    rows = [
        dict(row, id=str(i), data="tracings" if row["row"] else "") for i, row in enumerate(rows)
    ]
    write_table(folder / "t.csv", rows)
    options = {
        "sampling_rate": "rate",
        "unit": "volt",
        "leads": "standard",
        "record_id": "id",
        "dataset": "data",
        "shares": "1/0/0",
    }
    built = build("table", tmp_path / "d", folder, options=options | {"table": "t.csv"})
    ecgs = stored(tmp_path / "d")
    for name, i in (("0", 0), ("1", 1), ("2", 3), ("3", 2)):
        difference = ecgs[name]["signal"].astype(int) - to_microvolts(signals[i])
        assert np.abs(difference).max() <= 1
    assert ecgs["0"]["labels"] == {"unlabelled": -1}
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert {r["record_id"]: r["reason"] for r in rejects} == {"4": "unreadable", "5": "unreadable"}
    assert "has 2 rows, so none is 7" in rejects[0]["message"] + rejects[1]["message"]


def test_columns_that_only_arrays_need_may_mean_something_else(signals, tmp_path) -> None:
    columns = {
        "row": ["7", "b"],
        "dataset": ["x", "y"],
        "sampling_rate": ["fast", ""],
        "unit": ["ward 3", "ICU"],
        "event": ["soon", "1"],
    }
    write_table(tmp_path / "s/t.csv", rows_of(tmp_path / "s", signals, 2, **columns))
    built = build("table", tmp_path / "d", tmp_path / "s", options={"event": "none"})
    assert built.summary["records"] == 2


def test_missing_and_damaged_files_are_rejects(signals, tmp_path) -> None:
    rows = rows_of(tmp_path / "s", signals, 4, y=list("0101"))
    rows.append({"path": "ecg/nowhere.xml", "y": "1"})
    (tmp_path / "s/ecg/2.dat").write_bytes(b"12")
    write_table(tmp_path / "s/t.csv", rows)
    built = build("table", tmp_path / "d", tmp_path / "s")
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert {r["record_id"]: r["reason"] for r in rejects} == {
        "ecg/nowhere.xml": "missing_file",
        "ecg/2.hea": "unreadable",
    }
    assert built.summary["records"] == 3


def test_the_file_speaks_where_the_table_is_silent(signals, tmp_path) -> None:
    rows = rows_of(tmp_path / "s", signals, 3, age=["", "40", "71"], sex=["", "F", "M"])
    for i in range(3):
        with (tmp_path / f"s/ecg/{i}.hea").open("a") as header:
            header.write("# Age: 71\n# Sex: Male\n")
    write_table(tmp_path / "s/t.csv", rows)
    built = build("table", tmp_path / "d", tmp_path / "s", options={"shares": "1/0/0"})
    ecgs = stored(tmp_path / "d")
    people = [(float(ecg["age"]), ecg["sex"]) for _, ecg in sorted(ecgs.items())]
    assert people == [(71, "male"), (40, "female"), (71, "male")]
    assert built.summary["counts"] == {
        "age_differs_from_the_file": 1,
        "sex_differs_from_the_file": 1,
    }


def test_age_and_follow_up_from_dates(signals, tmp_path) -> None:
    columns = {
        "born": ["01.02.1950", "31.12.1960", "", "30.02.1970", "01.01.1890", "01.01.1990"],
        "on": ["2010-02-01 10:00:00", "20101231", "2010-01-01", "2010-01-01", "2010-01-01", ""],
        "af": ["2011-02-01", "", "2009-01-01", "2012-01-01", "", "2012-01-01"],
        "seen": [
            "2015-01-01",
            "2012-12-31",
            "2015-01-01",
            "2011-01-01",
            "2009-12-31",
            "2015-01-01",
        ],
    }
    write_table(tmp_path / "s/t.csv", rows_of(tmp_path / "s", signals, 6, **columns))
    options = {
        "birth_date": "born",
        "recorded": "on",
        "event_date": "af",
        "last_seen": "seen",
        "shares": "1/0/0",
    }
    built = build("table", tmp_path / "d", tmp_path / "s", options=options)
    ecgs = [ecg for _, ecg in sorted(stored(tmp_path / "d").items())]
    ages = [float(ecg["age"]) for ecg in ecgs]
    np.testing.assert_allclose(ages, [60, 50, np.nan, np.nan, 120, np.nan], atol=0.01)
    follow_up = [(float(ecg["time_days"]), int(ecg["event"])) for ecg in ecgs]
    np.testing.assert_allclose(
        follow_up,
        [(364.583, 1), (731, 0), (np.nan, -1), (365, 0), (np.nan, -1), (np.nan, -1)],
        atol=0.01,
    )
    assert built.summary["counts"] == {
        "date_not_understood": 1,
        "event_before_recording": 1,
        "follow_up_ends_before_recording": 1,
    }


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({}, {"path": "pth"}, "no column 'pth' for option path; did you mean 'path'"),
        ({"y": "01"}, {"labels": "z_label"}, "no column 'z_label' for option labels; it has path"),
        ({"AFIB": "01"}, {"labels": "afib"}, "did you mean 'AFIB'"),
        ({"y": "01"}, {"labels": "dx_*"}, "no column that fits 'dx_\\*'"),
        (
            {"y": ["1", "0.5"]},
            {"labels": "y"},
            "'y' holds '0.5' in row 3; a label is present",
        ),
        ({"subject_id": "12"}, {}, "give --option patient_id=subject_id, or .*=none"),
        ({"sex": "01"}, {}, "codes sex as 0 and 1, .*sex_codes=0=...,1=..."),
        ({"sex": "11"}, {}, "codes sex as 1, which"),
        ({"sex": "HM"}, {}, "codes sex as h and m"),
        ({"sex": ["true", "false"]}, {}, "codes sex as false and true"),
        ({"sex": "01"}, {"sex_codes": "0=he"}, "male, female or unknown such as"),
        ({"split": "12"}, {}, "holds '1' in row 2; a split is train"),
        ({"birth_date": ["1990-01-01"] * 2}, {}, "birth_date needs recorded"),
        ({"event_date": ["1990-01-01"] * 2, "recorded": ["1990-01-01"] * 2}, {}, "needs last_seen"),
        ({"time_days": "12"}, {}, "time_days and event are given together"),
        ({"path": ["a.npy", "b.npy"]}, {}, "give --option sampling_rate=... --option unit"),
        ({"path": ["../a.hea", "b.hea"]}, {}, "lies outside"),
        ({"path": ["a.hea", "a.hea"], "age": ["1", "2"]}, {}, "'a.hea' stands twice"),
        ({"path": ["", ""], "age": ["1", "2"]}, {}, "All 2 recordings were rejected.*'no_path'"),
        ({"patient_id": "11", "split": ["train", "test"]}, {}, "Patient '1' is in the splits"),
    ],
)
def test_one_sentence_for_what_is_wrong(tmp_path, columns, options, words) -> None:
    columns = {"path": ["a.hea", "b.hea"], **columns}
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    write_table(tmp_path / "s/t.csv", rows)
    with pytest.raises(UserError, match=words):
        build("table", tmp_path / "d", tmp_path / "s", options=options)


def test_which_table(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(UserError, match="no CSV or Parquet table and no ECG file"):
        build("table", tmp_path / "d", tmp_path / "s")
    with pytest.raises(UserError, match=r"no file that fits '\*.xml'"):
        build("table", tmp_path / "d", tmp_path / "s", options={"files": "*.xml"})
    for name in ("a.csv", "b.csv"):
        write_table(tmp_path / "s" / name, [{"path": "x.hea"}])
    with pytest.raises(UserError, match=r"several tables: a.csv, b.csv; say which"):
        build("table", tmp_path / "d", tmp_path / "s")
    with pytest.raises(UserError, match=r"c.csv of option table does not exist"):
        build("table", tmp_path / "d", tmp_path / "s", options={"table": "c.csv"})
    (tmp_path / "s/a.csv").write_bytes("path,naïve\nx.hea,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read in utf-8"):
        build("table", tmp_path / "d", tmp_path / "s", options={"table": "a.csv"})
    with pytest.raises(UserError, match="All 1 recordings were rejected, 1 of them for 'missing"):
        build(
            "table",
            tmp_path / "d",
            tmp_path / "s",
            options={"table": "a.csv", "encoding": "latin-1"},
        )
    with pytest.raises(UserError, match="needs --source"):
        build("table", tmp_path / "d")


def test_labels_from_machine_statements(signals, tmp_path) -> None:
    reports = ["Normal sinus rhythm\nNormal ECG", "Atrial fibrillation\nPossible LVH", ""]
    write_table(tmp_path / "s/t.csv", rows_of(tmp_path / "s", signals, 3, report=reports))
    options = {"labels": "statements", "shares": "1/0/0"}
    built = build("table", tmp_path / "d", tmp_path / "s", options=options)
    ecgs = [ecg["labels"] for _, ecg in sorted(stored(tmp_path / "d").items())]
    assert [ecg["Afib"] for ecg in ecgs] == [0, 1, -1]
    assert [ecg["machine:normal ECG"] for ecg in ecgs] == [1, -1, -1]
    assert [ecg["Left ventricular hypertrophy"] for ecg in ecgs] == [0, -1, -1]
    assert built.summary["counts"] == {"without_statements": 1}
    assert "machine statements" in built.summary["notes"][1]
