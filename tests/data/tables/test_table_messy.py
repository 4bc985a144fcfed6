"""Tables as hospitals export them: spreadsheets, Windows, German words, holes, repetitions."""

import gzip
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.building.builder import make_builder
from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.records import Plan
from deepecg_jax.data.tables.follow_up import stated_follow_up
from deepecg_jax.data.tables.paths import as_on_disk
from deepecg_jax.data.tables.recordings import describe
from deepecg_jax.errors import UserError
from deepecg_jax.signals.recording import Recording

PLAIN = "path;patient_id;AF\na.hea;1;0\nb.hea;1;1\n"


def plan_of(source: Path, content: bytes | str | None = None, **options: str) -> Plan:
    """What the builder makes of a table, without reading an ECG."""
    if content is not None:
        source.mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (source / "t.csv").write_bytes(data)
    return make_builder(
        builder_file("table"), data_dir=source / "d", source=source, options=options
    ).checked_plan(source)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"\xef\xbb\xbf" + PLAIN.encode(), {}),
        ("sep=;\r\n" + PLAIN.replace("\n", "\r\n"), {}),
        (PLAIN.replace("\n", ";;\n") + ";;;;\n;;;;\n", {}),
        (PLAIN.replace("path;patient_id", " Path ;Patient-ID"), {}),
        (PLAIN.replace("AF", '"AF;\nflüchtig"').encode("cp1252"), {"encoding": "cp1252"}),
        (PLAIN.replace(";", "\t").encode("utf-16"), {"encoding": "utf-16"}),
        (PLAIN.replace("0\n", "nein\n").replace("1\n", "JA\n"), {}),
        (PLAIN.replace("0\n", '"0,0"\n').replace("1\n", '"1,0"\n'), {}),
        (PLAIN.replace(";1;", ';"1,0";', 1), {}),
    ],
)
def test_one_table_in_many_ways_of_writing(tmp_path, content, options) -> None:
    plan = plan_of(tmp_path / "s", content, **options)
    assert [Path(record.path).name for record in plan.records] == ["a.hea", "b.hea"]
    assert [record.patient_id for record in plan.records] == ["1", "1"]
    labels = [record.labels for record in plan.records]
    assert [None if values is None else values.tolist() for values in labels] == [[0], [1]]


def test_what_is_no_table_is_said_to_be_none(tmp_path) -> None:
    source = tmp_path / "s"
    for data, words in (
        (b"PK\x03\x04\x14\x00", "workbook of a spreadsheet program"),
        (PLAIN.encode("utf-16"), "is in UTF-16; give --option encoding=utf-16"),
        (PLAIN.replace("AF", "Größe").encode("latin-1"), "encoding=cp1252 .Western Windows."),
        (PLAIN + "c.hea;1\n", "Expected 3 columns, got 2"),
    ):
        with pytest.raises(UserError, match=words):
            plan_of(source, data)
    (source / "t.csv").rename(source / "t.xlsx")
    (source / "README.txt").write_text("Export of the ward.\n")
    with pytest.raises(UserError, match="holds no table but t.xlsx, a workbook"):
        plan_of(source)
    (source / "a.hea").write_text("")
    plan = plan_of(source, files="*.hea")
    assert len(plan.records) == 1
    (source / "t.xlsx").unlink()
    (source / "b.xml.gz").write_bytes(b"")
    assert any("taken for ECGs, by extension: 1 .gz, 1 .txt" in n for n in plan_of(source).notes)
    with pytest.raises(UserError, match=r"holds no table, so there is no column for .*sex=Sex"):
        plan_of(source, sex="Sex")


def test_damaged_tables_are_refused_in_one_line(tmp_path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    (source / "t.csv.gz").write_bytes(gzip.compress(PLAIN.encode() * 50)[:60])
    with pytest.raises(UserError, match=r"t.csv.gz cannot be read as a table"):
        plan_of(source)
    (source / "t.csv.gz").unlink()
    pq.write_table(pa.table({"path": ["äöü.hea"] * 2}), source / "t.parquet")
    data = (source / "t.parquet").read_bytes()
    for damaged in (
        data[:-30] + b"\xff" * 20 + data[-10:],
        data.replace("ö".encode(), b"\xff\xff"),
    ):
        (source / "t.parquet").write_bytes(damaged)
        with pytest.raises(UserError, match=r"cannot be read as Parquet \([^\n]+\)\.$"):
            plan_of(source)


def test_tables_are_found_by_the_column_that_names_files(tmp_path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    (source / "README.txt").write_text("Export of the ward.\n")
    (source / "labs.csv").write_text("id;troponin\n1;2\n")
    (source / "ecgs.csv.gz").write_bytes(gzip.compress(PLAIN.replace("path", "Datei").encode()))
    assert len(plan_of(source, path="Datei").records) == 2
    pq.write_table(pa.table({"Path ": ["a.hea"], "MRN": [1.0]}), source / "x.parquet")
    plan = plan_of(source, patient_id="MRN")
    assert [record.patient_id for record in plan.records] == ["1"]
    (source / "x.parquet").unlink()
    (source / "ecgs.csv.gz").rename(source / "t.txt")
    (source / "t.txt").write_bytes(PLAIN.encode("utf-16"))
    (source / "labs.csv").unlink()
    with pytest.raises(UserError, match="encoding=utf-16"):
        plan_of(source)


def test_rows_without_a_file_and_rows_that_stand_twice(tmp_path) -> None:
    plan = plan_of(tmp_path / "s", PLAIN + ";2;1\na.hea;1;0\n")
    assert len(plan.records) == 2 and plan.counts == {"rows_that_repeat_another": 1}
    (reject,) = plan.rejects
    assert reject.reason == "no_path" and reject.message.startswith("Row 4 of ")
    with pytest.raises(UserError, match="'a.hea' stands twice for the file .*; keep one row"):
        plan_of(tmp_path / "s", PLAIN + "a.hea;1;1\n")


def test_paths_of_windows(tmp_path) -> None:
    rows = "ecg\\a.hea;1;0\nD:\\ecg\\b.hea;1;1\n\\\\server\\c.hea;1;1\n"
    plan = plan_of(tmp_path / "s", PLAIN.partition("\n")[0] + "\n" + rows)
    paths = [record.path for record in plan.records]
    assert paths == [str(tmp_path / "s/ecg/a.hea"), "D:\\ecg\\b.hea", "\\\\server\\c.hea"]
    assert any("separated by \\, as in Windows" in note for note in plan.notes)
    with pytest.raises(UserError, match="lies outside"):
        plan_of(tmp_path / "s", PLAIN.replace("a.hea", "..\\a.hea"))
    (tmp_path / "s/odd\\name.hea").write_text("")
    plan = plan_of(tmp_path / "s", PLAIN.replace("a.hea", "odd\\name.hea"))
    assert plan.records[0].path == str(tmp_path / "s/odd\\name.hea")


def test_files_spelled_otherwise_than_on_disk(signals, tmp_path) -> None:
    folder = tmp_path / "s/Süd"
    write_wfdb(folder / "a", signals[0])
    (folder / "a.hea").rename(folder / "Müller.hea")
    write_wfdb(folder / "b", signals[1])
    other = unicodedata.normalize("NFD", "süd/müller.HEA")
    table = f"path;patient_id\n{other};1\nSüd/b.hea;2\nD:\\c.hea;3\n"
    (tmp_path / "s/t.csv").write_text(table)
    built = build("table", tmp_path / "d", tmp_path / "s", options={"shares": "1/0/0"})
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert built.summary["records"] == 2, rejects
    assert built.summary["counts"] == {"path_spelled_otherwise_than_the_file": 1}
    (reject,) = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert reject["message"].startswith("D:\\c.hea does not exist; a path of Windows")
    assert as_on_disk(str(folder / "B.hea")) == str(folder / "b.hea")
    assert as_on_disk(str(folder / "c.hea")) == as_on_disk("D:\\c.hea") == ""


def test_of_two_spellings_none_is_guessed(tmp_path) -> None:
    (tmp_path / "A.xml").touch()
    (tmp_path / "a.xml").touch()
    assert as_on_disk(str(tmp_path / "a.XML")) == ""
    assert as_on_disk(str(tmp_path / "a.xml")) == str(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("header", "row", "options", "words"),
    [
        ("patient_id", "1,23457E+11", {}, "a number that a spreadsheet has rounded"),
        ("AF", "x", {"labels": "AF"}, "column 'AF' holds 'x' in row 2; a label is"),
        ("age", "old", {}, "Nothing in column age can be read as age .such as 'old'."),
        ("sex", "5", {}, "Nothing in column sex can be read as sex .such as '5'."),
        ("time_days;event", "3;dead", {}, "can be read as follow-up .* .such as '3, dead'."),
        ("PatNr", "1", {}, "give --option patient_id=PatNr"),
        ("x", "1", {"unit": "counts"}, "The unit 'counts' is no voltage"),
        ("x", "1", {"sampling_rate": "500 Hz"}, "sampling rate '500 Hz' is no positive number"),
    ],
)
def test_a_column_of_which_nothing_is_understood(tmp_path, header, row, options, words) -> None:
    with pytest.raises(UserError, match=words):
        plan_of(tmp_path / "s", f"path;{header}\na.hea;{row}\nb.hea;{row}\n", **options)


def test_nobody_is_no_patient_and_sex_is_no_label(tmp_path) -> None:
    rows = [f"{i}.hea;{'unbekannt' if i % 2 else 'k.A.'};{i % 2};{i % 2};x" for i in range(4)]
    table = "\n".join(["path;Patient_ID;Geschlecht;AF;tick", *rows])
    plan = plan_of(tmp_path / "s", table)
    assert len({record.patient_id for record in plan.records}) == 4
    assert [np.asarray(record.labels).tolist() for record in plan.records] == [[0], [1], [0], [1]]
    notes = " ".join(plan.notes)
    assert "4 ECGs without Patient_ID" in notes and "Columns without a use: tick." in notes
    assert "'Geschlecht' is not used; --option sex=Geschlecht" in notes
    assert "No ECG fell into" in notes and "there are 4 patients" in notes
    plan = plan_of(tmp_path / "s", table, sex="Geschlecht", sex_codes="0=male,1=female")
    assert [record.sex for record in plan.records] == ["male", "female"] * 2


def test_the_file_does_not_overrule_a_sex_that_is_not_understood(tmp_path) -> None:
    table = "path;sex\na.hea;w\nb.hea;divers\nc.hea;\n"
    man = Recording(np.zeros((2500, 1), np.float32), ("I",), 250.0, sex="male")
    records = plan_of(tmp_path / "s", table).records
    assert [describe(record, man).sex for record in records] == ["female", "unknown", "male"]
    assert records[1].counts == ("sex_not_understood",)


def test_follow_up_and_births_as_spreadsheets_write_them(tmp_path) -> None:
    assert stated_follow_up("364,5", "ja") == (364.5, 1, ())
    assert stated_follow_up("1.234,5", "False") == (1234.5, 0, ())
    assert stated_follow_up("1,234", "1")[2] == ("follow_up_not_understood",)
    assert stated_follow_up("n/a", "1")[2] == stated_follow_up("7", "unknown")[2] == ()
    table = "path;birth_date;recorded\na.hea;{};{}\n"
    for birth, recorded, form in (
        ("03.05.50", "03.05.15", "%d.%m.%y"),
        ("18386", "42127,5", "excel"),
        ("03.05.1950", "42127", "excel"),
        ("5/13/1950", "5/13/2015 11:15 PM", ""),
    ):
        plan = plan_of(tmp_path / "s", table.format(birth, recorded), date_format=form)
        assert plan.records[0].age == pytest.approx(65.0, abs=0.05), form
    with pytest.raises(UserError, match="day numbers of Excel, give --option date_format=excel"):
        plan_of(tmp_path / "s", table.format("18386", "42127"))
