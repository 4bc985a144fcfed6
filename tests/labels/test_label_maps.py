"""SCP-ECG and SNOMED CT to findings."""

import csv

import pytest

from deepecg_jax.labels import scp, snomed
from deepecg_jax.labels.findings import FINDINGS


def scp_labels(*codes: str) -> dict[str, int]:
    return dict(zip(scp.label_names(), scp.labels_of(codes).tolist(), strict=True))


def snomed_labels(site: str, *codes: str) -> dict[str, int]:
    return dict(zip(snomed.label_names(), snomed.labels_of(codes, site).tolist(), strict=True))


def test_ptb_xl_label_names() -> None:
    names = scp.label_names()
    assert names[:5] == tuple(f"superclass:{name}" for name in ("NORM", "MI", "STTC", "CD", "HYP"))
    kinds = [name.split(":")[0] for name in names if ":" in name]
    # the six tasks of the PTB-XL benchmark (Strodthoff et al. 2021)
    tasks = {"superclass": 5, "subclass": 23, "scp": 71, "diagnostic": 44, "form": 19, "rhythm": 12}
    assert {kind: kinds.count(kind) for kind in tasks} == tasks and set(kinds) == set(tasks)
    assert set(names[174:]) <= set(FINDINGS) and len(set(names)) == len(names) == 196


@pytest.mark.real
def test_statements_equal_ptb_xls_own_table(shared) -> None:
    with (shared / "data/ptbxl_subset/scp_statements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row[""] for row in rows] == [statement.name for statement in scp.statements()]
    for row, statement in zip(rows, scp.statements(), strict=True):
        assert (row["diagnostic_class"], row["diagnostic_subclass"]) == (
            statement.superclass,
            statement.subclass,
        )
        for kind in ("diagnostic", "form", "rhythm"):
            assert bool(row[kind]) == getattr(statement, kind)


def test_groups_are_unions_of_their_statements() -> None:
    labels = scp_labels("IMI", "LVH", "SR")
    present = {name for name, value in labels.items() if value == 1 and ":" in name}
    assert present == {
        "superclass:MI",
        "superclass:HYP",
        "subclass:IMI",
        "subclass:LVH",
        "scp:IMI",
        "scp:LVH",
        "scp:SR",
        "diagnostic:IMI",
        "diagnostic:LVH",
        "rhythm:SR",
    }
    assert all(value in (0, 1) for name, value in labels.items() if ":" in name)


def test_a_statement_has_one_value_under_all_its_names() -> None:
    labels = scp_labels("NDT", "AFIB")
    named = {name for name, value in labels.items() if value == 1 and name.endswith(":NDT")}
    assert named == {"scp:NDT", "diagnostic:NDT", "form:NDT"}  # it is both, as four statements are
    for name, value in labels.items():
        kind, _, statement = name.partition(":")
        if kind in ("diagnostic", "form", "rhythm"):
            assert value == labels[f"scp:{statement}"], name


def from_classes(*codes: str) -> dict[str, int]:
    values = scp.labels_of(codes, from_classes=True)
    return dict(zip(scp.label_names(), values.tolist(), strict=True))


def test_classes_leave_open_which_of_their_statements_it_was() -> None:
    """scp_codes that were put together from subclasses, forms and rhythms."""
    labels = from_classes("1AVB", "CLBBB", "NDT", "SR")  # _AVB has 1AVB, 2AVB and 3AVB
    assert labels["subclass:_AVB"] == labels["superclass:CD"] == labels["scp:CLBBB"] == 1
    assert labels["scp:1AVB"] == labels["diagnostic:3AVB"] == -1
    assert labels["1st degree AV block"] == labels["Third Degree AV Block"] == -1
    assert labels["Left bundle branch block"] == 1 and labels["Sinusal"] == 1
    # the form NDT explains the subclass STTC; whether EL (no form) was there too is open
    assert labels["form:NDT"] == labels["subclass:STTC"] == 1 and labels["scp:EL"] == -1
    assert labels["form:DIG"] == labels["scp:DIG"] == labels["scp:IMI"] == labels["Afib"] == 0
    assert labels["Right bundle branch block"] == 0  # no subclass of it
    exact = scp_labels("1AVB", "CLBBB", "NDT", "SR")
    agrees = {name for name, value in labels.items() if value in (-1, exact[name])}
    assert agrees == set(labels), "what is known from classes is what the statements say"


@pytest.mark.parametrize("code", ["SR", "STACH", "SBRAD", "SARRH"])
def test_every_sinus_rhythm_is_sinusal_and_no_fibrillation(code: str) -> None:
    labels = scp_labels(code)
    assert labels["Sinusal"] == 1 and labels["Afib"] == 0


def test_scp_leaves_open_what_is_not_stated() -> None:
    paced = scp_labels("PACE")
    assert paced["Sinusal"] == paced["Afib"] == paced["Bradycardia"] == -1
    assert scp_labels("AFIB")["Sinusal"] == 0 and scp_labels("AFIB")["Bradycardia"] == -1
    assert scp_labels("SR", "BIGU")["Premature ventricular complex"] == -1
    assert scp_labels("SR", "BIGU", "PVC")["Premature ventricular complex"] == 1
    assert scp_labels("SR")["Premature ventricular complex"] == 0
    assert scp_labels("SR", "LPR")["1st degree AV block"] == -1
    assert scp_labels("SR", "VCLVH")["Left ventricular hypertrophy"] == -1
    assert scp_labels("SR", "VCLVH", "LVH")["Left ventricular hypertrophy"] == 1


def test_scp_bundle_branch_blocks_and_conjunctions() -> None:
    for code in ("CLBBB", "ILBBB"):
        labels = scp_labels(code)
        assert labels["Left bundle branch block"] == 1 and labels["Right bundle branch block"] == 0
    assert scp_labels("LAO/LAE")["Bi-atrial enlargement"] == 0
    assert scp_labels("LAO/LAE", "RAO/RAE")["Bi-atrial enlargement"] == 1
    for absent in ("2nd degree AV block - mobitz 1", "Ventricular paced", "Acute MI"):
        assert absent not in scp.label_names()  # no statement defines it, so it has no label


def test_snomed_codes_and_sites() -> None:
    codes = snomed.codes()
    assert len(codes) == len({code.code for code in codes}) == 133
    assert sum(code.scored for code in codes) == 30
    assert {snomed.site_of(name) for name in ("A0001", "Q0001", "I0001", "S0001")} == {
        "cpsc",
        "cpsc_extra",
        "st_petersburg",
        "ptb",
    }
    assert snomed.site_of("HR06000") == "ptb_xl" and snomed.site_of("E07500") == "georgia"
    assert snomed.site_of("JS10646") == "chapman_shaoxing" and snomed.site_of("JS10647") == "ningbo"
    assert snomed.site_of("X1") == snomed.site_of("00024_hr") == ""


def test_a_code_that_a_site_never_uses_is_unknown_there() -> None:
    poor_r_wave = "snomed:365413008"  # in the Challenge only Ningbo uses it
    assert snomed_labels("ningbo", "426783006")[poor_r_wave] == 0
    assert snomed_labels("georgia", "426783006")[poor_r_wave] == -1
    assert snomed_labels("georgia", "365413008")[poor_r_wave] == 1
    unknown_site = snomed_labels("", "426783006")
    assert unknown_site["snomed:426783006"] == 1 and unknown_site["Sinusal"] == 1
    values = {value for name, value in unknown_site.items() if name.startswith("snomed:")}
    assert values == {1, -1}


def test_flutter_and_fibrillation_at_ningbo_are_open() -> None:
    flutter = "164890007"
    at_georgia, at_ningbo = snomed_labels("georgia", flutter), snomed_labels("ningbo", flutter)
    assert (at_georgia["Atrial flutter"], at_georgia["Afib"]) == (1, 0)
    assert (at_ningbo["Atrial flutter"], at_ningbo["Afib"]) == (-1, -1)
    assert at_ningbo["snomed:164890007"] == 1
    assert snomed_labels("ningbo", "426177001")["Afib"] == 0  # sinus bradycardia excludes it


def test_equal_diagnoses_under_two_codes() -> None:
    for code in ("164909002", "733534002"):
        assert snomed_labels("ningbo", code)["Left bundle branch block"] == 1
    for code in ("427172004", "17338001", "164884008"):
        assert snomed_labels("georgia", code)["Premature ventricular complex"] == 1
    unspecified = snomed_labels("georgia", "6374002")
    assert unspecified["Left bundle branch block"] == -1


@pytest.mark.real
def test_every_code_of_the_real_recordings_is_known(shared) -> None:
    known = {code.code for code in snomed.codes()}
    for header in (shared / "data/cinc2021").glob("*.hea"):
        line = next(line for line in header.read_text().splitlines() if "Dx:" in line)
        assert {code.strip() for code in line.split(":")[1].split(",")} <= known
