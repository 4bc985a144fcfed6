"""Statements of ECG machines, and CODE-15's labels, to findings."""

import pytest

from deepecg_jax.labelling.rules.labeller import Labeller
from deepecg_jax.labels import code15, muse
from deepecg_jax.labels.findings import FINDINGS, shipped_table


def labels(*statements: str) -> dict[str, int]:
    return dict(zip(muse.label_names(), muse.labels_of(statements).tolist(), strict=True))


def present(*statements: str) -> set[str]:
    return {name for name, value in labels(*statements).items() if value == 1}


@pytest.mark.parametrize(
    ("statement", "findings"),
    [
        ("Normal sinus rhythm", {"Sinusal"}),
        (
            "Sinus rhythm with PAC(s) with 1st degree A-V block.",
            {"Sinusal", "Premature atrial complex", "1st degree AV block"},
        ),
        ("Marked sinus bradycardia with sinus arrhythmia", {"Sinusal", "Bradycardia"}),
        ("Atrial fibrillation with slow ventricular response", {"Afib", "Bradycardia"}),
        ("with occasional Premature ventricular complexes", {"Premature ventricular complex"}),
        ("Second degree AV block, Mobitz I (Wenckebach)", {"2nd degree AV block - mobitz 1"}),
        (
            "RBBB and left anterior fascicular block",
            {"Right bundle branch block", "Left anterior fascicular block"},
        ),
        ("Incomplete left bundle branch block", {"Left bundle branch block"}),
        ("Electronic ventricular pacemaker", {"Ventricular paced"}),
        ("AV dual-paced rhythm", {"Ventricular paced", "Atrial paced"}),
        (
            "Biatrial enlargement",
            {"Left atrial enlargement", "Right atrial enlargement", "Bi-atrial enlargement"},
        ),
        ("T wave inversion in Inferior leads", {"T wave inversion (inferior - II, III, aVF)"}),
        ("*** ACUTE MI / STEMI ***", {"Acute MI"}),
        (
            "Left ventricular hypertrophy with repolarization abnormality",
            {"Left ventricular hypertrophy"},
        ),
        ("Premature ventricular complexes are no longer present", set()),
        ("Inferior infarct - age undetermined", set()),
    ],
)
def test_what_a_statement_makes_present(statement: str, findings: set[str]) -> None:
    assert present(statement) == findings


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("Possible left atrial abnormality", "Left atrial enlargement"),
        ("Sinus rhythm with borderline 1st degree A-V block", "1st degree AV block"),
        ("*** Consider Acute ST Elevation MI ***", "Acute MI"),
        ("Inferior infarct, possibly acute", "Acute MI"),
        ("Anterior infarct - age undetermined", "Acute MI"),
        ("Minimal voltage criteria for LVH, may be normal variant", "Left ventricular hypertrophy"),
        ("Second degree A-V block", "2nd degree AV block - mobitz 2"),
        ("Conduction defect of LBBB type", "Left bundle branch block"),
        ("Prolonged QT interval or TU fusion, consider hypokalemia", "Prolonged QT"),
        ("Pacemaker rhythm - no further analysis", "Left bundle branch block"),
        ("Pacemaker rhythm - no further analysis", "Ventricular paced"),
        ("--- Warning: Data quality may affect interpretation ---", "Low voltage"),
        ("Ventricular pacing", "Sinusal"),
        ("Nonspecific T wave abnormality", "T wave inversion (inferior - II, III, aVF)"),
        ("Atrial fibrillation or flutter", "Afib"),
    ],
)
def test_what_a_statement_leaves_open(statement: str, finding: str) -> None:
    assert labels(statement)[finding] == -1


def test_statements_mean_what_the_rules_for_reports_read_in_them() -> None:
    """Two readings made apart: the table of statements, and the rules for free text."""
    labeller = Labeller(language="en")
    known = {"acute", "ectopic atrial bradycardia", "electronic atrial pacemaker"}
    stated: dict[str, set[str]] = {}
    for row in shipped_table("muse_to_findings.csv"):
        if row["value"] == "1" and "&" not in row["statement"]:
            stated.setdefault(row["statement"], set()).add(row["finding"])
    assert len(stated) > 100
    for statement, findings in stated.items():
        named = labeller.label(statement).named()
        if statement not in known:  # no sentence of its own; rules that say less
            assert {name for name, state in named.items() if state == "present"} == findings


def test_what_is_not_stated_is_absent_but_only_if_something_is_stated() -> None:
    stated = labels("Sinus rhythm", "Normal ECG")
    assert stated["machine:normal ECG"] == 1 and stated["Afib"] == stated["Prolonged QT"] == 0
    assert stated["T wave inversion (inferior - II, III, aVF)"] == 0
    assert labels("Sinus rhythm", "Abnormal ECG")["machine:normal ECG"] == 0
    assert set(labels("", "").values()) == {-1}
    assert labels("Data quality may affect interpretation", "LBBB")["Left bundle branch block"] == 1


def test_maps_name_findings_and_a_source_for_every_line() -> None:
    for name, column in (("muse_to_findings.csv", "statement"), ("code15_to_findings.csv", "code")):
        rows = shipped_table(name)
        assert {row["finding"] for row in rows} <= set(FINDINGS)
        assert all(row["source"].strip() and row["value"] in ["1", "0", "-1"] for row in rows)
        pairs = [(row["finding"], row[column]) for row in rows]
        assert len(pairs) == len(set(pairs))
        for finding in {row["finding"] for row in rows}:
            mine = [row for row in rows if row["finding"] == finding]
            assert any(row["value"] == "1" for row in mine)


def test_code15_unknown_abnormalities_leave_findings_open() -> None:
    names = code15.label_names()
    known = dict.fromkeys(code15.ABNORMALITIES, 0)
    absent = dict(zip(names, code15.labels_of(known).tolist(), strict=True))
    assert absent["Afib"] == 0 and absent["Sinusal"] == absent["Bradycardia"] == -1
    assert absent["code15:normal_ecg"] == -1
    unknown = dict(zip(names, code15.labels_of(known | {"AF": -1, "SB": 1}).tolist(), strict=True))
    assert unknown["Afib"] == -1 and unknown["Bradycardia"] == unknown["Sinusal"] == 1
