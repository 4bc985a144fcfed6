"""Tables of reports: reading, labelling, writing, comparing; and PTB-XL's own reports."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from deepecg_jax.data.tables.write import write_table
from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.labeller import shipped_labeller
from deepecg_jax.labelling.rules.processes import label_texts
from deepecg_jax.labelling.tables.against_reference import (
    Uncertain,
    compare,
    disagreements,
    scp_reference,
)
from deepecg_jax.labelling.tables.reference import read_reference
from deepecg_jax.labelling.tables.reports import Reports, read_reports, to_table
from deepecg_jax.labels.findings import CATEGORIES, FINDINGS

TEXTS = ["Sinus rhythm. No AF", "", "possible LBBB", "Sinus rhythm. No AF"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "reports.csv"
    pd.DataFrame({"ecg": [7, 8, 9, 10], "report": TEXTS}).to_csv(path, index=False)
    return path


def test_the_table_is_as_documented(file, tmp_path):
    reports = read_reports(file, "ecg", "report")
    out = tmp_path / "deep" / "labels.parquet"
    write_table(to_table(reports, label_texts(reports.texts)), out)
    table = pq.read_table(out)
    assert table.column_names == ["ecg", *FINDINGS, "evidence"]
    assert table["ecg"].to_pylist() == [7, 8, 9, 10]
    assert table["Afib"].to_pylist() == ["absent", None, None, "absent"]
    assert table["Sinusal"].to_pylist() == ["present", None, None, "present"]
    assert table["Left bundle branch block"].to_pylist() == [None, None, "uncertain", None]
    evidence = [json.loads(text) for text in table["evidence"].to_pylist()]
    assert evidence[0] == {"Sinusal": [[0, 12]], "Afib": [[14, 16], [17, 19]]}
    assert evidence[1] == {} and evidence[2] == {"Left bundle branch block": [[0, 8], [9, 13]]}
    assert list(out.parent.iterdir()) == [out]


def test_ids_that_are_no_plain_integers_stay_text(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("id;text\n007;sinus rhythm\n8;AF\n")
    reports = read_reports(path, "id", "text")  # semicolons, as spreadsheets write them
    assert to_table(reports, label_texts(reports.texts))["id"].to_pylist() == ["007", "8"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,txt\n1,AF\n", "no column 'text' for --text; did you mean 'txt'"),
        (b"nr,text\n1,AF\n", "no column 'id' for --id; it has nr, text"),
        (b"id,text\n1,AF\n1,SR\n", "'1' stands 2 times"),
        (b"id,text\n,AF\n", "row 2 has no id"),
        (b"id,text\n1,\n2, \n", "no row has a text"),
        (
            "id,text\n1,Ischämie\n".encode("latin-1"),
            "line 2 has the byte 0xe4); give --encoding cp1252",
        ),
        ("id,text\n1,AF\n".encode("utf-16"), "--encoding utf-16"),
        (b"", "is empty"),
    ],
)
def test_bad_tables(tmp_path, content, words):
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_reports(path, "id", "text")
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_other_encodings_and_formats(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("id,text\n1,überdrehter Linkstyp\n".encode("latin-1"))
    assert read_reports(path, "id", "text", "latin-1").texts == ["überdrehter Linkstyp"]
    with pytest.raises(UserError, match="There is no encoding 'latin-17'"):
        read_reports(path, "id", "text", "latin-17")
    parquet = tmp_path / "r.parquet"
    pd.DataFrame({"id": [1, 2], "text": ["AF", None]}).to_parquet(parquet)
    assert read_reports(parquet, "id", "text").texts == ["AF", ""]
    with pytest.raises(UserError, match="There is no file"):
        read_reports(tmp_path / "none.csv", "id", "text")


@pytest.mark.slow
def test_processes_give_the_same_as_one(monkeypatch):
    monkeypatch.setattr("deepecg_jax.labelling.rules.processes._WORTH_A_PROCESS", 2)
    texts = [f"HR {rate}. No AF" for rate in range(40, 80)] * 2
    assert label_texts(texts, workers=2) == label_texts(texts)


def reference(values: list[int]) -> dict[str, np.ndarray]:
    return {"Afib": np.array(values, np.int8)}


def test_comparison_counts():
    labels = shipped_labeller().label_all(
        ["AF", "possible AF", "no AF", "sinus rhythm", "AF", "AF"]
    )
    known = reference([1, 1, 1, 0, 0, -1])
    counts = {kind: compare(labels, known, kind)["findings"]["Afib"] for kind in Uncertain}
    taken = {kind: (own["tp"], own["fp"], own["fn"]) for kind, own in counts.items()}
    assert taken == {
        Uncertain.present: (2, 1, 1),
        Uncertain.absent: (1, 1, 2),
        Uncertain.left_out: (1, 1, 1),
    }
    result = compare(labels, known)
    assert result["micro"]["f1"] == pytest.approx(4 / 6) == result["macro"]["f1"]
    unmentioned = shipped_labeller().label_all(["AF", "sinus rhythm", "LBBB"])
    of_mentioned = compare(unmentioned, reference([1, 1, 1]))
    assert of_mentioned["micro"]["fn"] == 2 and of_mentioned["micro_mentioned"]["fn"] == 0
    assert sum(own["n"] for own in result["languages"].values()) == 6
    rows = disagreements(Reports("id", list("abcdef"), ["AF"] * 6), labels, known).to_pylist()
    assert [(row["id"], row["reference"], row["report"]) for row in rows] == [
        ("c", "present", "absent"),
        ("e", "absent", "present"),
    ]


def test_f1_equals_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(0)
    labels = shipped_labeller().label_all(
        rng.choice(["AF", "LBBB, AF", "LBBB", "sinus rhythm"], 200)
    )
    names = ("Afib", "Left bundle branch block")
    known = {name: rng.integers(0, 2, 200).astype(np.int8) for name in names}
    result = compare(labels, known)
    found = np.array([[FINDINGS.index(n) in own.states for n in names] for own in labels])
    truth = np.stack([known[name] for name in names], axis=1)
    for average in ("micro", None):
        p, r, f, _ = precision_recall_fscore_support(truth, found, average=average)
        ours = [result["micro"]] if average else [result["findings"][n] for n in names]
        np.testing.assert_allclose(
            [[o["precision"], o["recall"], o["f1"]] for o in ours],
            np.stack([p, r, f], -1).reshape(-1, 3),
            atol=1e-12,
        )


def test_references(tmp_path):
    path = tmp_path / "ref.csv"
    path.write_text("id,Afib,label:Sinusal\n2,present,0\n1,uncertain,1\n")
    known = read_reference(path, "id", ["1", "2", "3"])
    assert {name: values.tolist() for name, values in known.items()} == {
        "Sinusal": [1, 0, -1],
        "Afib": [-1, 1, -1],
    }
    path.write_text("id,scp_codes\n1,\"{'AFIB': 0.0, 'IMI': 35.0}\"\n")
    known = read_reference(path, "id", ["1"])
    assert known["Afib"].tolist() == [1]
    assert known["Q wave (inferior - II, III, aVF)"].tolist() == [1]
    for content, words in (
        ("id,x\n1,2\n", "neither a column named as a finding nor"),
        ("id,Afib\n1,perhaps\n", "'perhaps' in row 2"),
        ("id,Afib\n9,1\n", "no id in common"),
        ("id,scp_codes\n1,SR\n", "must be a dictionary"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=words):
            read_reference(path, "id", ["1"])


@pytest.mark.real
def test_agreement_with_the_statements_of_ptb_xl(shared):
    """Micro F1 over findings with 100 positives and more, on development and held-out folds.

    The rules were written with folds 1-6 in sight; 7 and 8 were measured only. Conduction and
    infarction fall short because PTB-XL's statements were revised against the signal while the
    text stayed the machine's: nearly all disagreements are statements that the text does not make,
    or makes and the revision dropped.
    """
    table = pd.read_csv(shared / "data/ptbxl_reports/reports.csv", dtype={"ecg_id": str})
    path = shared / "data/ptbxl_reports/reports.csv"
    labels = label_texts(list(table["report"]))
    known = read_reference(path, "ecg_id", list(table["ecg_id"]))
    common = [name for name, values in known.items() if (values == 1).sum() >= 100]
    kinds = {
        "rhythm": CATEGORIES["Rhythm Disorders"],
        "conduction": CATEGORIES["Conduction Disorder"],
        "infarction": CATEGORIES["Infarction or ischemia"],
    }
    expected = {"rhythm": 0.98, "conduction": 0.75, "infarction": 0.65}
    for rows in (table["strat_fold"] <= 6, table["strat_fold"] >= 7):
        own = [label for label, keep in zip(labels, rows, strict=True) if keep]
        part = {name: known[name][rows.to_numpy()] for name in common}
        scores = {
            kind: compare(own, {n: part[n] for n in common if n in names})["micro"]["f1"]
            for kind, names in kinds.items()
        }
        assert all(scores[kind] >= least for kind, least in expected.items()), scores
        both = {n: part[n] for n in common if n in (*kinds["rhythm"], *kinds["conduction"])}
        assert compare(own, both)["micro"]["f1"] >= 0.91
        named = {n: part[n] for n in common if any(n in names for names in kinds.values())}
        result = compare(own, named)
        assert result["micro"]["f1"] >= 0.87  # what a text can give, see docs/labelling.md
        assert result["micro_mentioned"]["f1"] >= 0.95


def test_infarct_statements_are_the_q_waves_of_their_site():
    codes = [{"ILMI": 100.0}, {"AMI": 15.0}, {"QWAVE": 0.0}, {}, {"ILMI": 50.0, "IMI": 100.0}]
    known = scp_reference(codes)
    assert known["Q wave (inferior - II, III, aVF)"].tolist() == [1, 0, -1, 0, 1]
    assert known["Q wave (lateral- I, aVL, V5-V6)"].tolist() == [1, 0, -1, 0, 1]
    assert known["Q wave (anterior - V3-V4)"].tolist() == [0, 1, -1, 0, 0]
    assert "Q wave (septal- V1-V2)" not in known  # ASMI is written for anterior infarcts too


@pytest.mark.parametrize(("uncertain", "doubted"), [("absent", 0), ("left-out", -1)])
def test_uncertain_statements_count_like_uncertain_words(uncertain, doubted):
    codes = [{"AMI": 15.0}, {"AMI": 15.0, "ASMI": 100.0}, {"AFIB": 0.0}, {"1AVB": 80.0}]
    known = scp_reference(codes, Uncertain(uncertain))
    assert known["Q wave (anterior - V3-V4)"].tolist() == [doubted, 1, 0, 0]
    assert known["Afib"].tolist()[2] == 1  # 0: no likelihood was given
    assert known["1st degree AV block"].tolist() == [0, 0, 0, doubted]
