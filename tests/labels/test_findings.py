"""The 77 findings, their categories, and the rules that map codes to them."""

import csv

import numpy as np
import pytest

from deepecg_jax.labels.findings import CATEGORIES, FINDINGS, shipped_table
from deepecg_jax.labels.maps import label_vector, read_map
from deepecg_jax.labels.titles import title_of


def test_there_are_77_different_findings_in_deepecg_order() -> None:
    assert len(FINDINGS) == len(set(FINDINGS)) == 77
    assert FINDINGS[0] == "Sinusal" and FINDINGS[15] == "Afib" and FINDINGS[76] == "no_qrs"


def test_categories_hold_every_finding_and_one_twice() -> None:
    assert set().union(*CATEGORIES.values()) == set(FINDINGS)
    assert sum(map(len, CATEGORIES.values())) == 78
    both = {"Infarction or ischemia", "Other diagnoses"}
    name = "ST depression (anterior - V3-V4)"
    assert {category for category, names in CATEGORIES.items() if name in names} == both


@pytest.mark.real
def test_findings_equal_the_published_table(shared) -> None:
    with (shared / "reference" / "labels77.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["label"] for row in rows) == FINDINGS
    for row in rows:
        holding = [name for name, findings in CATEGORIES.items() if row["label"] in findings]
        assert sorted(holding) == sorted(row["categories"].split("|"))


@pytest.mark.parametrize(
    ("name", "column"), [("scp_to_findings.csv", "statements"), ("snomed_to_findings.csv", "code")]
)
def test_every_line_of_a_map_is_sound_and_says_its_source(name: str, column: str) -> None:
    rows = shipped_table(name)
    assert all(row["source"].strip() for row in rows)
    assert {row["finding"] for row in rows} <= set(FINDINGS)
    assert len({(row["finding"], row[column]) for row in rows}) == len(rows)
    for finding in {row["finding"] for row in rows}:
        assert any(row["value"] == "1" for row in rows if row["finding"] == finding), finding


RULES = read_map(
    [
        {"finding": "A", "code": code, "value": value}
        for code, value in (("yes", "1"), ("no", "0"), ("maybe", "-1"), ("x&y", "1"), ("*", "-1"))
    ]
    + [{"finding": "B", "code": "b", "value": "1"}, {"finding": "B", "code": "*", "value": "0"}],
    "code",
)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((), [-1, 0]),
        (("yes", "no", "maybe"), [1, 0]),
        (("no", "maybe"), [0, 0]),
        (("maybe", "b"), [-1, 1]),
        (("x",), [-1, 0]),
        (("x", "y", "no"), [1, 0]),
        (("unheard of",), [-1, 0]),
    ],
)
def test_present_beats_absent_beats_unknown_beats_default(codes, expected) -> None:
    labels = label_vector(RULES, codes)
    assert labels.dtype == np.int8 and labels.tolist() == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("A", "x", "1")], "no default"),
        ([("A", "*", "0"), ("A", "*", "1")], "two default"),
        ([("A", "*", "2")], "none of 1, 0, -1"),
    ],
)
def test_a_broken_map_is_refused(rows, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_map(
            [dict(zip(("finding", "code", "value"), row, strict=True)) for row in rows], "code"
        )


def test_titles_put_codes_into_words() -> None:
    assert title_of("snomed:164889003") == "atrial fibrillation"
    assert title_of("scp:NDT") == "non-diagnostic T abnormalities"
    assert title_of("Afib") == ""
