"""One parser of age and sex behind every door: a WFDB header, a table, a CardioSoft file."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ecg_devices.cardiosoft import write_cardiosoft
from ecg_sources import write_wfdb

from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.data.tables.people import ages, sexes
from deepecg_jax.data.tables.recordings import describe
from deepecg_jax.signals.people import SEXES, age_and_sex_of_comments, parse_age, parse_sex
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording

WOMEN = (
    *("F", "female", "Woman", "FEM.", "w", "weiblich", "Frau", "Mädchen", "femme", "Féminin"),
    *("mujer", "Femenino", "hembra", "MULHER", "feminino", "femmina", "donna", "v", "vrouw"),
    *("k", "kvinna", "Kvinde", "kvinne", "kobieta", "żeńska", "žena", "nainen", "KADIN", "женский"),
    "女",
)
MEN = (
    *("M", "male", "man", "masc.", "männlich", "maennlich", "Mann", "Herr", "h", "homme"),
    *("masculin", "Hombre", "varón", "HOMEM", "masculino", "maschio", "uomo", "mannelijk"),
    *("mand", "manlig", "mężczyzna", "męski", "muž", "mies", "erkek", "мужской", "男"),
)
NOBODY = ("", "unknown", "U", "n/a", "unbekannt", "okänd", "?")
NOT_UNDERSTOOD = ("d", "divers", "other", "mf", "5", "fm", "feline")  # and n, no in a table
SEX_CASES = [
    *((word, "female", ()) for word in WOMEN),
    *((word, "male", ()) for word in MEN),
    *((word, "unknown", ()) for word in NOBODY),
    *((word, "unknown", ("sex_not_understood",)) for word in NOT_UNDERSTOOD),
]
AGE_CASES = [
    *(("51", 51.0, ()), ("43.5", 43.5, ()), ("43,5", 43.5, ()), ("0", 0.0, ())),
    *(("056Y", 56.0, ()), ("018M", 1.5, ()), ("45 years", 45.0, ()), ("45 Jahre alt", 45.0, ())),
    *(
        ("61 anni", 61.0, ()),
        ("61 años", 61.0, ()),
        ("61 lat", 61.0, ()),
        ("61-year-old", 61.0, ()),
    ),
    *(("6 meses", 0.5, ()), ("6 Monate", 0.5, ()), ("26 weeks", 0.498, ()), ("0 Tage", 0.0, ())),
    *(
        (text, 90.0, ("age_over_89",))
        for text in ("89+", ">89", "> 89 years", ">=90", "90 or older")
    ),
    *((text, math.nan, ("impossible_age",)) for text in ("300", "1950", "-1", "121", "200 years")),
    *((text, math.nan, ()) for text in ("", "NaN", "unknown", "k.A.")),
    *(
        (text, math.nan, ("age_not_understood",))
        for text in ("45M", "45 w", "forty", "90-95", "1_0")
    ),
]
SIGNAL = np.random.default_rng(0).normal(0, 0.1, (2500, 12)).astype(np.float32)


def from_header(folder: Path, key: str, value: str) -> Recording:
    write_wfdb(folder / "a", SIGNAL)
    header = folder / "a.hea"
    lines = [line for line in header.read_text().splitlines() if not line.startswith("#")]
    header.write_text("\n".join([*lines, f"# {key}: {value}"]) + "\n", encoding="utf-8")
    return read(folder / "a")


def from_cardiosoft(folder: Path, key: str, value: str) -> Recording:
    path = folder / "a.xml"
    write_cardiosoft(path)
    text = path.read_text(encoding="latin-1").replace("ISO8859-1", "UTF-8")
    birth = text[text.index("<BirthDateTime>") : text.index("<Gender>")]
    value = value.replace("<", "&lt;").replace(">", "&gt;")
    stated = f'<Age units="Years">{value}</Age>' if key == "age" else ""
    sex = f"<Gender>{value}</Gender>" if key == "sex" else ""
    text = text.replace(birth, stated).replace("<Gender>MALE</Gender>", sex)
    path.write_text(text, encoding="utf-8")
    return read(path)


DOORS = (from_header, from_cardiosoft)


@pytest.mark.parametrize("door", DOORS)
def test_every_word_for_a_sex_through_every_file(
    tmp_path: Path, door: Callable[[Path, str, str], Recording]
) -> None:
    for word, sex, repairs in SEX_CASES:
        found = door(tmp_path, "sex", word)
        assert (found.sex, tuple(found.meta["repairs"])) == (sex, repairs), word


@pytest.mark.parametrize("door", DOORS)
def test_every_age_through_every_file(
    tmp_path: Path, door: Callable[[Path, str, str], Recording]
) -> None:
    for text, age, repairs in AGE_CASES:
        found = door(tmp_path, "age", text)
        assert found.age == pytest.approx(age, nan_ok=True, abs=1e-3), text
        assert tuple(found.meta["repairs"]) == repairs, text


OPTIONS = {"age_over_89": "", "sex_codes": "", "date_format": ""}


@pytest.mark.parametrize(("word", "sex", "repairs"), SEX_CASES)
def test_every_word_for_a_sex_in_a_table(word: str, sex: str, repairs: tuple[str, ...]) -> None:
    table = pa.table({"s": [word, "female"]})  # a column of strange words alone is refused
    assert sexes(table, {"sex": "s"}, OPTIONS, [])[0] == (sex, repairs) == parse_sex(word)


@pytest.mark.parametrize(("text", "age", "repairs"), AGE_CASES)
def test_every_age_in_a_table(text: str, age: float, repairs: tuple[str, ...]) -> None:
    found, counted = ages(pa.table({"a": [text, "50"]}), {"age": "a"}, OPTIONS)[0]
    assert counted == repairs and found == pytest.approx(age, nan_ok=True, abs=1e-3)


def test_the_words_of_both_sexes_do_not_meet() -> None:
    assert set(SEXES.values()) == {"female", "male"}
    assert (
        parse_sex("n") == parse_sex("no") == parse_sex("1") == ("unknown", ("sex_not_understood",))
    )
    assert all(parse_sex(word.upper()) == (sex, ()) for word, sex in SEXES.items())


def test_a_code_over_89_is_the_sources_own() -> None:
    assert parse_age("300", 300) == parse_age("300.0", 300.0) == (90.0, ("age_over_89",))
    assert parse_age("45", unit="MONTHS") == (3.75, ())
    assert parse_age("067Y", unit="years") == (67.0, ())
    assert parse_age("45", unit="parsecs")[1] == ("age_not_understood",)
    assert parse_age("-4", unit="years")[1] == ("impossible_age",)


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ({"<age>": "51", "<sex>": "F"}, (51.0, "female", ())),
        ({"age (years)": "55", "gender": "female"}, (55.0, "female", ())),
        ({"age (months)": "18", "sex": "?"}, (1.5, "unknown", ())),
        ({"age": "56", "sex": "?", "gender": "w"}, (56.0, "female", ())),
        ({"age at diagnosis": "56", "dx": "59118001"}, (math.nan, "unknown", ())),
        (
            {"age": "300", "sex": "d"},
            (math.nan, "unknown", ("impossible_age", "sex_not_understood")),
        ),
    ],
)
def test_keys_of_headers(comments: dict[str, str], expected: tuple) -> None:
    age, sex, repairs = age_and_sex_of_comments(comments)
    assert (sex, repairs) == expected[1:] and age == pytest.approx(expected[0], nan_ok=True)


def test_what_a_file_says_unclearly_is_counted_where_the_table_is_silent() -> None:
    meta = {"repairs": ("impossible_age", "sex_not_understood")}
    file = Recording(SIGNAL[:, :1], ("I",), 250.0, meta=meta)
    silent = PlannedRecord("a", "a", "train", "a.hea", labels=np.zeros(1, np.int8))
    assert describe(silent, file).counts == ("impossible_age", "sex_not_understood")
    told = PlannedRecord("a", "a", "train", "a.hea", labels=np.zeros(1, np.int8), age=5, sex="male")
    assert describe(told, file).counts == ()


@pytest.mark.real
def test_made_up_headers(shared: Path) -> None:
    """The headers of `cases/reading` with a key; MIT-BIH's lines without one are not read yet."""
    folder = shared / "cases/reading/wfdb_header_age_and_sex/src"
    expected = {
        "a": (51, "female"),
        "d": (55, "female"),
        "e": (56, "female"),
        "f": (90, "female"),
        "g": (math.nan, "male"),
        "h": (math.nan, "male"),
    }
    for name, (age, sex) in expected.items():
        found = read(folder / name)
        assert found.age == pytest.approx(age, nan_ok=True) and found.sex == sex, name
