"""Chapman, Shaoxing and Ningbo: records below WFDBRecords, names of codes in a table."""

import pyarrow.parquet as pq
import pytest
from ecg_sources import write_challenge

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError


def test_two_hospitals_codes_and_damaged_headers(signals, tmp_path) -> None:
    source = tmp_path / "s"
    folder = source / "WFDBRecords/01/010"
    write_challenge(folder, "JS00001", signals[0], "#Age: 85\n#Sex: M\n#Dx: 164889003,59118001\n")
    write_challenge(folder, "JS20000", signals[1], "#Age: NaN\n#Sex: Female\n#Dx: 164890007\n")
    write_challenge(folder, "JS00003", signals[2], "#Age: 40\n#Sex: F\n#Dx: 0426177001,12345\n")
    write_challenge(folder, "JS00004", signals[3], "#Age: 40\n#Sex: Female\n")
    (folder / "JS01052.hea").write_text("")
    (source / "ConditionNames_SNOMED-CT.csv").write_text(
        "Acronym Name,Full Name,Snomed_CT\nSB,Sinus Bradycardia,426177001\nXY,Odd beat,12345\n"
    )
    built = build("chapman_shaoxing", tmp_path / "d", source, options={"shares": "1/0/0"})
    split = open_split(tmp_path / "d", "chapman_shaoxing", "train")
    ecgs = {split[i]["record_id"]: split[i] for i in range(len(split))}

    def label(name: str, column: str) -> int:
        return int(ecgs[name]["labels"][split.label_names.index(column)])

    assert label("JS00001", "Afib") == label("JS00001", "Right bundle branch block") == 1
    assert label("JS20000", "Atrial flutter") == label("JS20000", "Afib") == -1
    assert label("JS00003", "Bradycardia") == label("JS00003", "snomed:426177001") == 1
    assert ecgs["JS00001"]["site"] == "chapman_shaoxing" and ecgs["JS20000"]["site"] == "ningbo"
    assert float(ecgs["JS00001"]["age"]) == 85 and ecgs["JS20000"]["sex"] == "female"
    assert built.summary["counts"] == {"code_outside_the_list:Odd beat": 1}
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert {reject["record_id"]: reject["reason"] for reject in rejects} == {
        "JS00004": "no_diagnosis",
        "JS01052": "unreadable",
    }


def test_a_folder_of_something_else(tmp_path) -> None:
    with pytest.raises(UserError, match="holds no record JS00001"):
        build("chapman_shaoxing", tmp_path / "d", tmp_path)


@pytest.mark.real
def test_real_records(shared, tmp_path) -> None:
    built = build("chapman_shaoxing", tmp_path / "d", shared / "data/cinc2021")
    assert built.summary["records"] == 20 and built.summary["rejects"]["total"] == 0
