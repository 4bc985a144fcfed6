"""Duplicate signals, labels of one class, and dates and sexes that can be read in two ways."""

import shutil
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_challenge, write_ptb_xl

from deepecg_jax.data.building.build import build
from deepecg_jax.data.catalogue import builder_file, load_builder_class
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.data.tables.dates import read_dates
from deepecg_jax.data.tables.follow_up import follow_up
from deepecg_jax.data.tables.people import sex_coding
from deepecg_jax.errors import UserError
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.signals.people import parse_age

DX = "# Age: 300\n# Sex: F\n# Dx: 426783006\n"


def content(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "summary.json"}


def test_the_same_signal_is_kept_once_and_rather_in_the_test_split(signals, tmp_path) -> None:
    twice = signals.copy()
    twice[1] = twice[8]  # fold 2 (train) as fold 9 (validation)
    twice[3] = twice[9]  # fold 4 (train) as fold 10 (test)
    twice[5] = twice[4]  # both train
    source = write_ptb_xl(tmp_path / "s", twice, list(range(1, 11)))
    one = build("ptb_xl", tmp_path / "one", source, workers=1)
    two = build("ptb_xl", tmp_path / "two", source, workers=2)
    assert content(one.folder) == content(two.folder)
    rejects = {r["record_id"]: r for r in pq.read_table(one.folder / "rejects.parquet").to_pylist()}
    assert set(rejects) == {"2", "4", "6"}
    assert rejects["4"]["reason"] == "duplicate_signal" and rejects["4"]["path"].endswith(
        "00004_hr"
    )
    assert rejects["4"]["message"].endswith("equals that of 10 of the test split, which is kept")
    counts = one.summary["counts"]
    assert counts["duplicate_signals"] == counts["duplicate_signals_of_another_patient"] == 3
    assert counts["duplicate_signals_in_another_split"] == 2
    assert one.summary["records"] == 21
    quality = pq.read_table(one.folder / "quality.parquet")
    index = pq.read_table(one.folder / "index.parquet")
    assert len(set(quality.column("signal_hash").to_pylist())) == quality.num_rows == index.num_rows
    train = open_split(tmp_path / "one", "ptb_xl", "train")
    names = [train[i]["record_id"] for i in range(len(train))]
    assert names == train.index.column("record_id").to_pylist() and "2" not in names

    kept = build("ptb_xl", tmp_path / "kept", source, options={"duplicates": "keep"})
    assert kept.summary["records"] == 24 and kept.summary["counts"]["duplicate_signals"] == 3


def test_repairs_of_rejected_copies_are_not_counted(signals, tmp_path) -> None:
    for name, signal in (("E00001", signals[0]), ("E00002", signals[0]), ("E00003", signals[1])):
        write_challenge(tmp_path / "s", name, signal, DX)
    summary = build("cinc2021", tmp_path / "d", tmp_path / "s").summary
    assert summary["records"] == 2 and summary["counts"]["age_over_89"] == 2
    assert summary["rejects"]["by_reason"] == {"check: duplicate_signal": 1}


def test_a_split_that_held_copies_only_disappears(signals, tmp_path) -> None:
    same = np.stack([signals[0]] * 2)
    source = write_ptb_xl(tmp_path / "s", same, [1, 10])
    built = build("ptb_xl", tmp_path / "d", source)
    assert set(built.summary["splits"]) == {"test"} and built.summary["records"] == 1
    assert not list(built.folder.glob("*train*"))


def test_windows_of_copied_recordings(signals, tmp_path) -> None:
    long = np.concatenate([signals[0], signals[1], signals[2]])
    for name in ("I0001", "I0002"):
        write_challenge(tmp_path / "s", name, long, DX)
    options = {"windows": "all", "shares": "1/0/0"}
    built = build("cinc2021", tmp_path / "d", tmp_path / "s", options=options)
    names = pq.read_table(built.folder / "index.parquet").column("record_id").to_pylist()
    assert sorted(names) == ["I0001:w0", "I0001:w1", "I0001:w2"]


def test_all_77_findings_with_those_that_a_source_cannot_express(signals, tmp_path) -> None:
    write_challenge(tmp_path / "s", "E00001", signals[0], DX)
    options = {"findings": "all", "shares": "1/0/0"}
    for name, source in (("cinc2021", tmp_path / "s"), ("synthetic", None)):
        more = {"n": "20"} if name == "synthetic" else {}
        build(name, tmp_path / "d", source, options=options | more)
        split = open_split(tmp_path / "d", name, "train")
        labels = dict(zip(split.label_names, split[0]["labels"].tolist(), strict=True))
        assert set(FINDINGS) <= set(labels) and len(labels) == len(split.label_names)
        own = load_builder_class(builder_file(name)).label_names()
        assert all(labels[finding] == -1 for finding in set(FINDINGS) - set(own))
    assert open_split(tmp_path / "d", "cinc2021", "train")[0]["labels"].max() == 1


def test_labels_with_one_class_are_named(ptb_xl_source, tmp_path) -> None:
    summary = build("ptb_xl", tmp_path / "d", ptb_xl_source).summary
    found = summary["one_class_labels"]
    assert "scp:LVH" in found["never_positive"] and "scp:SR" not in found["never_positive"]
    assert any("labels have fewer than two classes" in note for note in summary["notes"])
    for name in found["never_negative"]:
        assert sum(split["negative"] for split in summary["labels"][name].values()) == 0
    shutil.rmtree(tmp_path / "d")


@pytest.mark.parametrize(
    "texts",
    [
        ("male", "Female"),
        ("M", "f"),
        ("1", "2"),
        ("homme", "femme"),
        ("männlich", "weiblich"),
        ("man", "kvinna"),
        ("m", "w"),
        ("1.0", "2.0"),
        ("man", "vrouw"),
    ],
)
def test_the_usual_ways_of_writing_sex(texts) -> None:
    coding = sex_coding([*texts, "", "NaN"], "sex")
    assert [coding.read(text) for text in (*texts, "", "NaN")] == [
        ("male", ()),
        ("female", ()),
        ("unknown", ()),
        ("unknown", ()),
    ]


def test_codes_of_sex_that_were_stated() -> None:
    coding = sex_coding(["0", "1", "9"], "sex", "0=male,1=female")
    assert [coding.read(text)[0] for text in ("0", "1", "M", "F")] == [
        "male",
        "female",
        "male",
        "female",
    ]
    assert coding.read("9") == ("unknown", ("sex_not_understood",)) and "0=male" in coding.note
    assert sex_coding(["H", "M"], "sexo", "h=male,m=female").read("M")[0] == "female"
    with pytest.raises(UserError, match="0, 1 and|0 and 1"):
        sex_coding(["0", "1", ""], "sex")


def test_ages_in_other_forms() -> None:
    assert parse_age("018M")[0] == pytest.approx(1.5)
    assert parse_age("> 89") == parse_age("90+") == (90.0, ("age_over_89",))
    for text in ("45Y", "45 years", "45 J.", "45 Jahre alt", "45,0", "540 months"):
        assert parse_age(text) == (45.0, ()), text
    assert parse_age(">90") == parse_age("89+") == parse_age("over 89") == parse_age("90+")
    for text in ("forty", "45M", ">", "90-95"):
        assert parse_age(text)[1] == ("age_not_understood",), text


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2020-03-04", (2020, 3, 4)),
        ("2020-03-04T05:06:07Z", (2020, 3, 4, 5, 6, 7)),
        ("20200304", (2020, 3, 4)),
        ("20200304050607", (2020, 3, 4, 5, 6, 7)),
        ("04.03.2020", (2020, 3, 4)),
        ("4.3.2020 05:06", (2020, 3, 4, 5, 6)),
        ("2020/03/04", (2020, 3, 4)),
        ("04-Mar-2020", (2020, 3, 4)),
        ("31/12/2020", (2020, 12, 31)),
        ("12/31/2020", (2020, 12, 31)),
    ],
)
def test_dates_in_several_forms(text: str, date: tuple) -> None:
    assert read_dates([text, ""], "day") == ([datetime(*date), None], [False, False])


def test_dates_that_can_be_read_in_two_ways() -> None:
    with pytest.raises(UserError, match="'03/04/2020', which may have the day or the month first"):
        read_dates(["03/04/2020"], "day")
    with pytest.raises(UserError, match="day first .31/12/2020. and with the month first .12/31"):
        read_dates(["31/12/2020", "12/31/2020"], "day")
    assert read_dates(["03/04/2020"], "day", "%m/%d/%Y")[0] == [datetime(2020, 3, 4)]
    assert read_dates(["03/04/2020", "13/04/2020"], "day")[0][0] == datetime(2020, 4, 3)
    dates, strange = read_dates(["2020-01-01", "30.02.2020", "soon"], "day")
    assert dates == [datetime(2020, 1, 1), None, None] and strange == [False, True, True]
    with pytest.raises(UserError, match="holds no date in any known form .such as 'soon'."):
        read_dates(["soon", ""], "day")


def test_follow_up_by_definition() -> None:
    start, later, last = (datetime(2020, 1, day) for day in (1, 11, 21))
    assert follow_up(start, later, last) == (10.0, 1, ())
    assert follow_up(start, None, last) == follow_up(start, datetime(2020, 2, 1), last)
    assert follow_up(start, None, last) == (20.0, 0, ())
    assert follow_up(later, start, last)[1:] == (-1, ("event_before_recording",))
    assert follow_up(last, None, start)[1:] == (-1, ("follow_up_ends_before_recording",))
    assert follow_up(None, later, last)[1:] == follow_up(start, None, None)[1:] == (-1, ())
