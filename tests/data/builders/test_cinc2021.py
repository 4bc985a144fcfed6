"""The Challenge builder on records written as the Challenge writes them."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_challenge

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.standard.millivolt import to_microvolts

COMMENTS = {
    "A0001": "#Age: 61\n#Sex: Male\n#Dx: 59118001\n#Rx: Unknown\n",
    "Q0002": "# Age: NaN\n# Sex: F\n# Dx: 426783006,284470004\n",
    "I0003": "# Age: 70\n# Sex: M\n# Dx: 164884008\n",
    "S0004": "# Age: 40\n# Sex: Unknown\n# Dx: 164865005\n",
    "HR00005": "# Age: 300\n# Sex: Female\n# Dx: 426783006, 39732003\n",
    "E00006": "# Age: -1\n# Sex: NaN\n# Dx: 999999999\n",
    "JS00007": "# Age: 59\n# Sex: Female\n# Dx: 426177001\n",
    "JS20008": "# Age: 59\n# Sex: Male\n# Dx: 164890007\n",
}
SITES = {
    "A0001": "cpsc",
    "Q0002": "cpsc_extra",
    "I0003": "st_petersburg",
    "S0004": "ptb",
    "HR00005": "ptb_xl",
    "E00006": "georgia",
    "JS00007": "chapman_shaoxing",
    "JS20008": "ningbo",
}


@pytest.fixture
def source(tmp_path, signals):
    folder = tmp_path / "challenge"
    for number, (name, comments) in enumerate(COMMENTS.items()):
        write_challenge(folder / name[:1] / "g1", name, signals[number], comments)
    return folder


def test_all_sources_with_their_ways_of_writing(source, signals, tmp_path) -> None:
    built = build("cinc2021", tmp_path / "d", source, options={"shares": "100/0/0"})
    split = open_split(tmp_path / "d", "cinc2021", "train")
    ecgs = {split[i]["record_id"]: split[i] for i in range(len(split))}
    assert {name: ecg["site"] for name, ecg in ecgs.items()} == SITES
    for number, name in enumerate(COMMENTS):
        expected = to_microvolts(np.rint(signals[number] * 1000) / 1000)
        np.testing.assert_array_equal(ecgs[name]["signal"], expected)
        assert ecgs[name]["patient_id"] == name
    sexes = {name: ecg["sex"] for name, ecg in ecgs.items()}
    assert [sexes[name] for name in COMMENTS] == [
        "male",
        "female",
        "male",
        "unknown",
        "female",
        "unknown",
        "female",
        "male",
    ]
    ages = [float(ecgs[name]["age"]) for name in COMMENTS]
    np.testing.assert_array_equal(ages, [61, np.nan, 70, 40, 90, np.nan, 59, 59])

    def label(name: str, column: str) -> int:
        return int(ecgs[name]["labels"][split.label_names.index(column)])

    assert label("A0001", "Right bundle branch block") == 1 and label("A0001", "Sinusal") == -1
    assert label("Q0002", "snomed:284470004") == label("Q0002", "Premature atrial complex") == 1
    assert label("HR00005", "Left axis deviation") == label("HR00005", "Sinusal") == 1
    assert label("JS20008", "Atrial flutter") == -1 and label("JS00007", "Bradycardia") == 1
    assert built.summary["counts"] == {
        "age_over_89": 1,
        "impossible_age": 1,
        "code_outside_the_challenge_list": 1,
    }
    assert "no patient ids" in built.summary["notes"][0]


def test_splits_do_not_depend_on_what_else_is_there(source, tmp_path) -> None:
    options = {"shares": "1/1/1"}
    build("cinc2021", tmp_path / "all", source, options=options)
    build("cinc2021", tmp_path / "one", source / "J", options=options)
    where = {}
    for data_dir in ("all", "one"):
        table = pq.read_table(tmp_path / data_dir / "cinc2021/1.0.0/index.parquet")
        columns = (table.column(name).to_pylist() for name in ("record_id", "split"))
        where[data_dir] = dict(zip(*columns, strict=True))
    assert set(where["one"].items()) <= set(where["all"].items())
    assert len(set(where["all"].values())) > 1


def test_no_diagnosis_and_damaged_files_are_rejects(source, signals, tmp_path) -> None:
    write_challenge(source, "E00009", signals[9], "# Age: 50\n")
    matrix = source / "A/g1/A0001.mat"
    matrix.write_bytes(matrix.read_bytes()[:3000])
    built = build("cinc2021", tmp_path / "d", source)
    rejects = pq.read_table(built.folder / "rejects.parquet").to_pylist()
    assert {reject["record_id"]: reject["reason"] for reject in rejects} == {
        "A0001": "unreadable",
        "E00009": "no_diagnosis",
    }
    assert built.summary["records"] == 7


def test_one_name_in_two_folders_is_refused(source, signals, tmp_path) -> None:
    write_challenge(source / "copy", "A0001", signals[0], COMMENTS["A0001"])
    with pytest.raises(UserError, match="record id 'A0001'"):
        build("cinc2021", tmp_path / "d", source)


def test_a_folder_without_headers(tmp_path) -> None:
    with pytest.raises(UserError, match=r"holds no \.hea file"):
        build("cinc2021", tmp_path / "d", tmp_path)


def test_long_recordings_give_one_or_all_windows(source, signals, tmp_path) -> None:
    long = np.concatenate([signals[10], signals[10], signals[10][:500]])
    write_challenge(tmp_path / "long", "I0075", long, "# Dx: 164884008\n")
    first = build("cinc2021", tmp_path / "first", tmp_path / "long").summary
    every = build("cinc2021", tmp_path / "all", tmp_path / "long", options={"windows": "all"})
    assert first["records"] == 1 and every.summary["records"] == 2
    index = pq.read_table(every.folder / "index.parquet")
    assert index.column("record_id").to_pylist() == ["I0075:w0", "I0075:w1"]
    assert every.summary["patients"] == 1


def test_short_recordings_are_padded_or_rejected(signals, tmp_path) -> None:
    write_challenge(tmp_path / "s", "A0001", signals[0][:2000], COMMENTS["A0001"])
    write_challenge(tmp_path / "s", "A0002", signals[1], COMMENTS["A0001"])
    padded = build("cinc2021", tmp_path / "pad", tmp_path / "s")
    assert padded.summary["counts"]["padded"] == 1 and padded.summary["records"] == 2
    valid = np.concatenate(
        [
            open_split(tmp_path / "pad", "cinc2021", name).valid_samples
            for name in padded.summary["splits"]
        ]
    )
    assert sorted(valid) == [2000, 2500]
    options = {"short": "reject"}
    refused = build("cinc2021", tmp_path / "reject", tmp_path / "s", options=options)
    assert refused.summary["rejects"]["by_reason"] == {"standardize: too_short": 1}


@pytest.mark.real
@pytest.mark.slow
def test_real_challenge_ecgs(shared, tmp_path) -> None:
    built = build("cinc2021", tmp_path / "d", shared / "data/cinc2021")
    assert built.summary["records"] + built.summary["rejects"]["total"] == 50
    assert built.summary["records"] >= 49
    assert "unknown_site" not in built.summary["counts"]
