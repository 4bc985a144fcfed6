"""Cells: numbers, yes and no, and what parts a line; the same through every command."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepecg_jax.cells import delimiter_of, is_unknown, read_number, yes_or_no
from deepecg_jax.data.building.builder import make_builder
from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.tables.read import column_names, read_columns, texts
from deepecg_jax.data.tables.write import write_table
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.tables.reference import read_reference
from deepecg_jax.labelling.training.data import Columns, read_labelled
from deepecg_jax.signals.reading.arrays import read_array

LEADS = ("I", "II", "III")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("-3.25", -3.25),
        ("3,25", 3.25),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("0,125", 0.125),
        ("1e3", 1000),
        ("1,234", np.nan),
        ("inf", np.nan),
        ("1_0", np.nan),
        ("", np.nan),
        ("٣", np.nan),
    ],
)
def test_numbers(text: str, number: float) -> None:
    assert read_number(text) == pytest.approx(number, nan_ok=True)


def test_a_comma_that_is_known_to_stand_before_the_decimals() -> None:
    assert read_number("1,234", decimal_comma=True) == 1.234 and np.isnan(read_number("1,234"))
    assert read_number("-,5", decimal_comma=True) == -0.5
    assert read_number("1.5", decimal_comma=True) == 1.5


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("path,age,sex", ","),
        ("path;age;sex", ";"),
        ("path\tage", "\t"),
        ("path|age", "|"),
        ("0,5;1,5;2,5", ";"),
        ("0,5\t1,5\t2,5", "\t"),
        ("1,2,3", ","),
        ("0.5,-1.5,2.5", ","),
        ('"a;b;c",d', ","),
        ("alone", ","),
    ],
)
def test_what_parts_a_line(line: str, delimiter: str) -> None:
    assert delimiter_of(line) == delimiter


WORDS = [
    *(("ja", "nein"), ("oui", "non"), ("yes", "no"), ("JA", "NEJ"), ("sim", "não"), ("sí", "no")),
    *(("tak", "nie"), ("wahr", "falsch"), ("1", "0"), ("1,0", "0,0"), ("present", "absent")),
    *(("vero", "falso"), ("waar", "onwaar"), ("Positive", "NEGATIVE")),
]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_one_table_is_read_equally_by_every_command(
    tmp_path: Path, words: tuple[str, str], delimiter: str
) -> None:
    """The same file for `build table`, `label --evaluate` and `train-labeller`."""
    yes, no = words
    rows = [("id", "path", "text", "split", "Afib")]
    for i, value in enumerate((yes, no, "unbekannt", yes, no, "n/a")):
        split = "train" if i < 3 else "validation"
        rows.append((f"r{i}", f"{i}.hea", f"report {i}", split, value))
    table = tmp_path / "t.csv"
    lines = [delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = [1, 0, -1, 1, 0, -1]
    names = [f"r{i}" for i in range(6)]
    plan = make_builder(
        builder_file("table"), data_dir=tmp_path / "d", source=table, options={"labels": "Afib"}
    ).checked_plan(tmp_path)
    assert [int(np.asarray(record.labels)[0]) for record in plan.records] == expected
    assert read_reference(table, "id", names)["Afib"].tolist() == expected
    learned = read_labelled(table, Columns("text", ("Afib",), "id", split="split"))
    assert learned.labels[:, 0].tolist() == [1, 0, 1, 0] and learned.n_unlabelled == 2


def test_a_lone_x_is_neither_yes_nor_no_nor_a_gap() -> None:
    assert yes_or_no("x") is None and is_unknown("x")
    assert yes_or_no("perhaps") is None and yes_or_no(" uncertain ") == yes_or_no("") == -1


def test_a_finding_whose_name_holds_commas_can_be_learned(tmp_path: Path) -> None:
    name = "Q wave (lateral- I, aVL, V5-V6)"
    rows = "".join(f"text {i},{i % 2},{'train' if i < 4 else 'val'}\n" for i in range(8))
    (tmp_path / "t.csv").write_text(f'text,"label:{name}",split\n{rows}')
    asked = Columns("text", tuple(name.split(",")), split="split")
    assert read_labelled(tmp_path / "t.csv", asked).names == (name,)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("I;II;III\n1,234;0,5;-1\n2;3;4\n5;6;7\n8;9;1\n", 1.234),
        ("1,234\t0,5\t-1\n2\t3\t4\n5\t6\t7\n8\t9\t1\n", 1.234),
        ("1.234,0.5,-1\n2,3,4\n5,6,7\n8,9,1\n", 1.234),
        ("1|0|0\n2|3|4\n5|6|7\n8|9|1\n", 1.0),
    ],
)
def test_samples_in_a_csv(tmp_path: Path, text: str, first: float) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = read_array(path, sampling_rate=250, unit="mV", leads=LEADS)
    assert found.signal.shape == (4, 3) and found.signal[0, 0] == pytest.approx(first)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.PQ", "t"])
def test_tables_are_written_by_their_suffix_and_read_back(tmp_path: Path, name: str) -> None:
    names = ["a", "b", 'with "quotes", and commas']
    path = tmp_path / "deep" / name
    write_table(
        pa.table(dict(zip(names, (["x", 'y"\nz,'], [1, None], ["ü", ""]), strict=True))), path
    )
    assert [file.name for file in path.parent.iterdir()] == [name]
    if not path.suffix:  # Parquet, as the content says
        path = path.rename(path.with_name("t.parquet"))
    assert column_names(path) == tuple(names)
    table = read_columns(path, names)
    assert [texts(table, column) for column in names] == [["x", 'y"\nz,'], ["1", ""], ["ü", ""]]


def test_a_suffix_of_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="t.xlsx would be no table; tables are written as .parquet"):
        write_table(pa.table({"a": [1]}), tmp_path / "t.xlsx")
    with pytest.raises(UserError, match="cannot hold this table"):
        write_table(pa.table({"a": [[1]]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []
