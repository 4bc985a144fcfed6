"""The PTB-XL builder on a small source in PTB-XL's own layout."""

import ast
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_ptb_xl

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.labels import scp
from deepecg_jax.signals.standard.millivolt import to_microvolts


def by_id(split) -> dict:
    return {split[i]["record_id"]: split[i] for i in range(len(split))}


def test_a_build_holds_what_the_source_says(ptb_xl_source, signals, tmp_path) -> None:
    built = build("ptb_xl", tmp_path / "data", ptb_xl_source)
    assert built.folder == tmp_path / "data/ptb_xl/1.0.0" and not built.reused
    sizes = {}
    for name in ("train", "validation", "test"):
        split = open_split(tmp_path / "data", "ptb_xl", name)
        sizes[name] = len(split)
        for record_id, ecg in by_id(split).items():
            number = int(record_id) - 1
            np.testing.assert_array_equal(ecg["signal"], to_microvolts(signals[number]))
            assert ecg["lead_mask"].all() and ecg["patient_id"] == str(1000 + number)
            assert ecg["age"] == 56 and ecg["sex"] == ("male", "female")[number % 2]
            assert ecg["report"] == f"sinus rhythm, ECG {number + 1}"
            assert (ecg["site"], ecg["device"], ecg["event"]) == ("2", "CS-12", -1)
            labels = dict(zip(split.label_names, ecg["labels"].tolist(), strict=True))
            expected = [(1, 0, 1, 0), (0, 1, 0, 1), (0, 0, -1, -1)][number % 3]
            names = ("superclass:NORM", "scp:CLBBB", "Sinusal", "Afib")
            assert tuple(labels[name] for name in names) == expected
        folds = set(split.index.column("fold").to_pylist())
        assert folds == {"train": set(range(1, 9)), "validation": {9}, "test": {10}}[name]
    assert sizes == {"train": 20, "validation": 2, "test": 2}


def test_tfds_itself_reads_the_build(ptb_xl_source, tmp_path) -> None:
    import tensorflow_datasets as tfds

    build("ptb_xl", tmp_path / "data", ptb_xl_source)
    builder = tfds.builder("ptb_xl", data_dir=tmp_path / "data")
    source = builder.as_data_source("train")
    split = open_split(tmp_path / "data", "ptb_xl", "train")
    assert len(source) == len(split) == 20
    for i in (0, 7, 19):
        np.testing.assert_array_equal(source[i]["signal"], split[i]["signal"])
        assert source[i]["record_id"].decode() == split[i]["record_id"]
    assert "Wagner" in builder.info.citation and "PTB-XL" in builder.info.description


def test_beside_the_shards(ptb_xl_source, tmp_path) -> None:
    folder = build("ptb_xl", tmp_path / "data", ptb_xl_source).folder
    index = pq.read_table(folder / "index.parquet")
    assert index.num_rows == 24 and index.column("position").to_pylist()[:20] == list(range(20))
    quality = pq.read_table(folder / "quality.parquet").to_pylist()
    assert len(quality) == 24 and quality[0]["valid_samples"] == 2500
    names = json.loads((folder / "labels.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["labels"]) == names and summary["records"] == summary["patients"] == 24
    normal = summary["labels"]["superclass:NORM"]["train"]
    assert normal["positive"] + normal["negative"] == 20 and normal["unknown"] == 0
    assert summary["counts"]["no_superclass"] == 8  # the paced ones
    assert json.loads((folder / "signal.json").read_text())["sampling_rate"] == 250
    assert pq.read_table(folder / "rejects.parquet").column_names[:4] == [
        "path",
        "record_id",
        "stage",
        "reason",
    ]


def test_without_fold_10_fold_9_is_the_test_split(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, list(range(1, 10)))
    summary = build("ptb_xl", tmp_path / "d", source).summary
    folds = {name: split["folds"] for name, split in summary["splits"].items()}
    assert folds == {"train": list(range(1, 8)), "validation": [8], "test": [9]}
    assert "no fold 10" in summary["notes"][0] and "fold 9 is the test split" in summary["notes"][0]


def test_only_the_splits_that_exist_are_built(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, [1, 2, 9])
    summary = build("ptb_xl", tmp_path / "d", source).summary
    assert list(summary["splits"]) == ["train", "validation"]
    assert not any("fold" in note for note in summary["notes"])
    with pytest.raises(UserError, match=r"no split 'test'; it has train, validation"):
        open_split(tmp_path / "d", "ptb_xl", "test")


def test_folds_by_option(ptb_xl_source, tmp_path) -> None:
    summary = build("ptb_xl", tmp_path / "d", ptb_xl_source, options={"folds": "1-3,5/8/9"}).summary
    folds = {name: split["folds"] for name, split in summary["splits"].items()}
    assert folds == {"train": [1, 2, 3, 5], "validation": [8], "test": [9]}
    assert summary["counts"]["ecgs_in_unused_folds"] == 24 - summary["records"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("1-8/9/11", r"Fold 11 .* it has 1, 2, 3"),
        ("1-8/8/9", "fold 8 stands there twice"),
        ("1-8/9", "train/validation/test"),
        ("1-x/9/10", "'1-x' is no fold"),
        ("//", "no fold"),
    ],
)
def test_folds_that_cannot_be(ptb_xl_source, tmp_path, option, words) -> None:
    with pytest.raises(UserError, match=words):
        build("ptb_xl", tmp_path / "d", ptb_xl_source, options={"folds": option})


def test_missing_and_broken_metadata(ptb_xl_source, tmp_path) -> None:
    database = ptb_xl_source / "ptbxl_database.csv"
    text = database.read_text()
    cases = [
        (text.replace("strat_fold", "fold", 1), "ptbxl_database.csv has no column 'strat_fold'"),
        (text.replace("{'SR'", "['SR'", 1), "scp_codes of ecg_id 1 "),
        (text.split("\n")[0] + "\n", "has no rows"),
    ]
    for broken, words in cases:
        database.write_text(broken)
        with pytest.raises(UserError, match=words):
            build("ptb_xl", tmp_path / "d", ptb_xl_source)
    database.unlink()
    with pytest.raises(UserError, match="ptbxl_database.csv does not exist"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source)
    assert not list((tmp_path / "d/ptb_xl").glob("*.*.*"))


def test_another_class_of_a_statement_is_refused(ptb_xl_source, tmp_path) -> None:
    path = ptb_xl_source / "scp_statements.csv"
    path.write_text(path.read_text().replace("NORM,NORM", "MI,IMI"))
    with pytest.raises(UserError, match="puts NORM into MI/IMI"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source)


def test_rate_is_chosen_by_what_exists(ptb_xl_source, tmp_path) -> None:
    with pytest.raises(UserError, match="no folder records100"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source, options={"rate": "100"})
    (ptb_xl_source / "records500").rename(ptb_xl_source / "records100")
    with pytest.raises(UserError, match="no folder records500 or records100"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source)
    database = ptb_xl_source / "ptbxl_database.csv"
    text = database.read_text().replace("filename_lr,filename_hr", "filename_hr,filename_lr")
    database.write_text(text.replace("records500/", "records100/"))
    assert build("ptb_xl", tmp_path / "d", ptb_xl_source).summary["records"] == 24


def test_repairs_are_counted(signals, tmp_path) -> None:
    source = write_ptb_xl(
        tmp_path / "s",
        signals,
        list(range(1, 11)),
        age={0: "300.0", 1: "", 2: "-4"},
        sex={0: "", 1: "0"},
        scp_codes={3: "{'NEW': 1.0}"},
    )
    built = build("ptb_xl", tmp_path / "d", source)
    counts = built.summary["counts"]
    assert counts["age_over_89"] == counts["impossible_age"] == counts["unknown_statement:NEW"] == 1
    ecgs = by_id(open_split(tmp_path / "d", "ptb_xl", "train"))
    assert ecgs["1"]["age"] == 90 and np.isnan(ecgs["2"]["age"]) and np.isnan(ecgs["3"]["age"])
    assert ecgs["1"]["sex"] == "unknown" and ecgs["2"]["sex"] == "male"


def test_rows_with_rebuilt_statements_say_only_what_their_classes_say(signals, tmp_path) -> None:
    source = write_ptb_xl(
        tmp_path / "s",
        signals,
        list(range(1, 11)),
        scp_codes={0: "{'1AVB': 100.0, 'NDT': 0.0, 'SR': 0.0}", 1: "{'1AVB': 80.0, 'SR': 0.0}"},
    )
    path = source / "ptbxl_database.csv"
    head, *rows = path.read_text().splitlines()
    origin = ["rebuilt", *["ptbxl_database"] * (len(rows) - 1)]
    lines = [f"{head},scp_source", *(f"{row},{o}" for row, o in zip(rows, origin, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    built = build("ptb_xl", tmp_path / "d", source)
    assert built.summary["counts"]["statements_from_classes"] == 1
    split = open_split(tmp_path / "d", "ptb_xl", "train")
    rebuilt, own = (
        dict(zip(split.label_names, by_id(split)[name]["labels"].tolist(), strict=True))
        for name in ("1", "2")
    )
    for name, as_rebuilt, as_own in (
        ("subclass:_AVB", 1, 1),
        ("scp:1AVB", -1, 1),
        ("diagnostic:2AVB", -1, 0),
        ("1st degree AV block", -1, 1),
        ("form:NDT", 1, 0),
        ("rhythm:SR", 1, 1),
        ("Sinusal", 1, 1),
        ("scp:CLBBB", 0, 0),
    ):
        assert (rebuilt[name], own[name]) == (as_rebuilt, as_own), name


@pytest.mark.real
@pytest.mark.slow
def test_real_rows_with_rebuilt_statements(shared) -> None:
    """What follows from the classes of PTB-XL's own rows is what their statements say."""
    with (shared / "data/ptbxl_raw/ptbxl_database.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = [ast.literal_eval(r["scp_codes"]) for r in rows if r["scp_source"] == "ptbxl_database"]
    assert len(own) > 700
    for codes in own:
        exact, open_ = scp.labels_of(codes), scp.labels_of(codes, from_classes=True)
        known = open_ >= 0
        np.testing.assert_array_equal(open_[known], exact[known])
    names = scp.label_names()
    for row in rows:
        if row["scp_source"] == "ptbxl_database":
            continue
        labels = dict(
            zip(names, scp.labels_of(ast.literal_eval(row["scp_codes"]), True), strict=True)
        )
        for kind in ("form", "rhythm"):
            present = {n.partition(":")[2] for n in names if n[: len(kind)] == kind and labels[n]}
            assert present == set(filter(None, row[kind].split(";")))


def test_a_patient_in_two_splits(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, list(range(1, 11)), patient_id={9: "1000.0"})
    with pytest.raises(UserError, match=r"'1000' is in the splits test and train"):
        build("ptb_xl", tmp_path / "d", source)
    built = build("ptb_xl", tmp_path / "d", source, options={"patients": "first"})
    assert built.summary["counts"]["moved_to_the_patients_first_split"] == 1
    train = open_split(tmp_path / "d", "ptb_xl", "train").index.column("patient_id").to_pylist()
    assert train.count("1000") == 2


def test_duplicate_record_ids(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, list(range(1, 11)), ecg_id={5: "1"})
    with pytest.raises(UserError, match="the record id '1'"):
        build("ptb_xl", tmp_path / "d", source)


def test_broken_files_are_rejected_and_the_rest_is_built(ptb_xl_source, tmp_path) -> None:
    files = ptb_xl_source / "records500/00000"
    (files / "00001_hr.dat").unlink()
    (files / "00002_hr.hea").write_text("nonsense")
    (files / "00003_hr.dat").write_bytes((files / "00003_hr.dat").read_bytes()[:1000])
    built = build("ptb_xl", tmp_path / "d", ptb_xl_source)
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert [reject["record_id"] for reject in rejects] == ["1", "2", "3"]
    assert all(r["stage"] == "read" and r["reason"] == "unreadable" for r in rejects)
    assert all(Path(reject["path"]).name.endswith("_hr") for reject in rejects)
    assert built.summary["rejects"] == {"total": 3, "by_reason": {"read: unreadable": 3}}
    assert (
        built.summary["records"]
        == 21
        == sum(split["records"] for split in built.summary["splits"].values())
    )


def test_a_split_of_rejects_only_is_left_out(ptb_xl_source, tmp_path) -> None:
    for number in (10, 20):  # the two ECGs of fold 10
        (ptb_xl_source / f"records500/00000/{number:05d}_hr.dat").unlink()
    summary = build("ptb_xl", tmp_path / "d", ptb_xl_source).summary
    assert list(summary["splits"]) == ["train", "validation"]


def test_when_nothing_can_be_used_nothing_is_built(ptb_xl_source, tmp_path) -> None:
    shutil.rmtree(ptb_xl_source / "records500/00000")
    with pytest.raises(UserError, match=r"All 24 recordings were rejected, 24 .* 'unreadable'"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source)
    assert [path.name for path in (tmp_path / "d/ptb_xl").iterdir()] == [".lock"]


@pytest.mark.real
@pytest.mark.slow
def test_real_ptb_xl_ecgs(shared, tmp_path) -> None:
    built = build("ptb_xl", tmp_path / "d", shared / "data/ptbxl_subset", limit=40)
    assert built.summary["records"] >= 39
    split = open_split(tmp_path / "d", "ptb_xl", "train")
    assert split.load(["age"])["age"].max() <= 90
