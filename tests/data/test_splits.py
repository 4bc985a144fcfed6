"""Splits by patient, and how sources write people."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.data.splits import check_unique, hash_split, keep_patients_apart, parse_shares
from deepecg_jax.data.staging.shard import divide
from deepecg_jax.errors import UserError
from deepecg_jax.signals.people import parse_age, parse_sex


def record(name: str, patient: str = "p", split: str = "train") -> PlannedRecord:
    return PlannedRecord(name, patient, split, f"/files/{name}")


def test_hash_split_follows_the_shares_and_never_changes() -> None:
    shares = parse_shares("70/10/20")
    chosen = [hash_split(f"patient-{number}", shares) for number in range(5000)]
    for split, share in zip(("train", "validation", "test"), shares, strict=True):
        assert chosen.count(split) / 5000 == pytest.approx(share, abs=0.03)
    # Fixed values: a data set built next year must have the same splits.
    assert [hash_split(name, (0.8, 0.1, 0.1)) for name in ("a", "b", "c", "d", "e", "f")] == FIXED


FIXED = ["test", "train", "train", "train", "train", "train"]


@given(st.text(max_size=8))
def test_a_share_of_one_takes_all(patient: str) -> None:
    assert hash_split(patient, parse_shares("0/5/0")) == "validation"


@pytest.mark.parametrize("text", ["80/20", "a/b/c", "0/0/0", "-1/1/1", "", "inf/1/1", "nan/1/1"])
def test_bad_shares_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="shares"):
        parse_shares(text)


def test_a_patient_in_two_splits_is_refused_with_names() -> None:
    records = [record("1", "ann"), record("2", "bob", "test"), record("3", "ann", "validation")]
    with pytest.raises(UserError, match=r"'ann'.*train and validation.*patients=first"):
        keep_patients_apart(records)
    kept, moved = keep_patients_apart(records, "first")
    assert moved == 1 and [r.split for r in kept] == ["train", "test", "train"]
    apart = [records[0], records[1]]
    assert keep_patients_apart(apart) == (tuple(apart), 0)


def test_duplicate_record_ids_are_refused() -> None:
    with pytest.raises(UserError, match=r"'1': /files/1 and /other"):
        check_unique([record("1"), record("2"), replace(record("1"), path="/other")])


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 3000, 40_000])
def test_shards_hold_every_record_once_whatever_the_order(n: int) -> None:
    records = [record(str(number)) for number in range(n)]
    shards = divided(records)
    assert sorted(int(name) for shard in shards for name in shard) == list(range(n))
    assert all(0 < len(shard) <= 1024 for shard in shards)
    assert divided(records[::-1]) == shards
    if n == 3000:
        assert len(shards) == 16
        assert [int(name) for name in shards[0]] != sorted(int(name) for name in shards[0])


def divided(records: list[PlannedRecord]) -> list[list[str]]:
    return [[records[at].record_id for at in shard] for shard in divide(records)]


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("Female", "female"),
        ("F", "female"),
        ("f", "female"),
        ("Male", "male"),
        ("M ", "male"),
        ("NaN", "unknown"),
        ("Unknown", "unknown"),
        ("", "unknown"),
        ("1", "unknown"),
    ],
)
def test_sex_in_words(text: str, sex: str) -> None:
    assert parse_sex(text)[0] == sex


@pytest.mark.parametrize(
    ("text", "age", "counted"),
    [
        ("56", 56.0, ()),
        ("56.5", 56.5, ()),
        ("0", 0.0, ()),
        ("300.0", 90.0, ("age_over_89",)),
        ("-1", math.nan, ("impossible_age",)),
        ("121", math.nan, ("impossible_age",)),
        ("inf", math.nan, ("impossible_age",)),
        ("NaN", math.nan, ()),
        ("", math.nan, ()),
    ],
)
def test_ages_are_read_or_repaired_by_rule(text: str, age: float, counted: tuple) -> None:
    found, counts = parse_age(text, over_89=300)
    assert counts == counted and found == pytest.approx(age, nan_ok=True)


def test_300_is_no_age_where_it_is_not_a_code() -> None:
    assert parse_age("300")[1] == ("impossible_age",)
