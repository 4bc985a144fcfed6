"""Data sets of another standardisation than true millivolts."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import load as load_contract
from deepecg_jax.signals.contract import require_same
from deepecg_jax.signals.reading.read import read_wfdb
from deepecg_jax.signals.standard import deepecg, fairseq
from deepecg_jax.signals.standard.millivolt import standardize

DEEPECG = {"standardisation": "deepecg"}
FAIRSEQ = {"standardisation": "fairseq"}


def stored(folder, name: str, splits=("train", "validation", "test")) -> dict[str, dict]:
    """Record id -> stored ECG of a data set, in the order of the shards."""
    found = {}
    for split in splits:
        part = open_split(folder, name, split)
        found |= {part[i]["record_id"]: part[i] for i in range(len(part))}
    return found


def shard_bytes(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if "array_record" in p.name}


def test_the_contract_says_which(ptb_xl_source, tmp_path) -> None:
    folders = {
        scaling: build(
            "ptb_xl", tmp_path / scaling, ptb_xl_source, options={"standardisation": scaling}
        ).folder
        for scaling in ("millivolt", "deepecg", "fairseq")
    }
    contracts = {scaling: load_contract(folder) for scaling, folder in folders.items()}
    assert {name: contract.scaling for name, contract in contracts.items()} == {
        name: name for name in folders
    }
    assert contracts["fairseq"] == fairseq.CONTRACT
    with pytest.raises(UserError, match="scaling is deepecg in a but millivolt in b"):
        require_same(contracts["deepecg"], contracts["millivolt"], "a", "b")
    with pytest.raises(UserError, match="was built with options"):
        build("ptb_xl", tmp_path / "deepecg", ptb_xl_source, options={**DEEPECG, "batch": "9"})


def test_deepecg_batches_are_those_of_the_shards(ptb_xl_source, tmp_path) -> None:
    """Every stored ECG is what the function makes of its shard's records in their order."""
    folder = build("ptb_xl", tmp_path, ptb_xl_source, options=DEEPECG).folder
    for name in ("train", "validation", "test"):
        split = open_split(tmp_path, "ptb_xl", name)  # one shard each
        ids = split.index.column("record_id").to_pylist()
        ecgs = [
            standardize(read_wfdb(ptb_xl_source / f"records500/00000/{int(i):05d}_hr"))[0].signal
            for i in ids
        ]
        expected, info = deepecg.standardize(np.stack(ecgs))
        signals = np.stack([split[i]["signal"] for i in range(len(split))])
        np.testing.assert_allclose(signals / 1000, expected, atol=0.00051)
        rows = pq.read_table(folder / "quality.parquet", filters=[("split", "==", name)])
        assert set(rows["batch_factor"].to_pylist()) == {info.factor}
        assert set(rows["batch_records"].to_pylist()) == {len(ids)}


def test_a_small_batch_is_another_result(ptb_xl_source, tmp_path) -> None:
    build("ptb_xl", tmp_path / "a", ptb_xl_source, options=DEEPECG)
    whole = stored(tmp_path / "a", "ptb_xl")
    single = build("ptb_xl", tmp_path / "b", ptb_xl_source, options={**DEEPECG, "batch": "1"})
    alone = stored(tmp_path / "b", "ptb_xl")
    assert whole.keys() == alone.keys()
    differences = [np.abs(whole[k]["signal"] - alone[k]["signal"].astype(int)).max() for k in whole]
    assert np.median(differences) > 20
    factors = pq.read_table(single.folder / "quality.parquet")["batch_factor"].to_pylist()
    assert len(set(factors)) == len(factors) and min(factors) > 0
    assert single.summary["request"]["options"]["batch"] == "1"


@pytest.mark.parametrize("options", [{**DEEPECG, "batch": "5"}, {**FAIRSEQ, "windows": "all"}])
def test_workers_do_not_matter_and_rejects_leave_their_batch(
    ptb_xl_source, tmp_path, options
) -> None:
    (ptb_xl_source / "records500/00000/00004_hr.dat").unlink()
    one = build("ptb_xl", tmp_path / "one", ptb_xl_source, workers=1, options=options)
    two = build("ptb_xl", tmp_path / "two", ptb_xl_source, workers=2, options=options)
    assert shard_bytes(one.folder) == shard_bytes(two.folder)
    assert one.summary["rejects"]["total"] == 1
    if options["standardisation"] == "deepecg":
        sizes = pq.read_table(one.folder / "quality.parquet")["batch_records"].to_pylist()
        assert max(sizes) <= 5 and len(sizes) == 23


def test_deepecg_takes_no_short_ecg_and_none_without_lead_one(
    ptb_xl_source, signals, tmp_path
) -> None:
    records = ptb_xl_source / "records500/00000"
    write_wfdb(records / "00003_hr", signals[2][:2000])
    without = signals[4].copy()
    without[:, :6] = 0  # nothing to derive lead I from
    write_wfdb(records / "00005_hr", without)
    with_five = signals[5].copy()
    with_five[:, 0] = 0  # lead I from the others
    write_wfdb(records / "00006_hr", with_five)
    folder = build("ptb_xl", tmp_path, ptb_xl_source, options=DEEPECG).folder
    rejects = {r["record_id"]: r for r in pq.read_table(folder / "rejects.parquet").to_pylist()}
    assert rejects["3"]["reason"] == "too_short" and "2000 samples" in rejects["3"]["message"]
    assert set(rejects) == {"3", "5"}
    assert "6" in stored(tmp_path, "ptb_xl")


def test_fairseq_pieces_are_stored_as_thousandths(ptb_xl_source, tmp_path) -> None:
    folder = build("ptb_xl", tmp_path, ptb_xl_source, options=FAIRSEQ).folder
    ecgs = stored(tmp_path, "ptb_xl")
    assert len(ecgs) == 48
    for number in (1, 9, 24):
        pieces = fairseq.standardize(
            read_wfdb(ptb_xl_source / f"records500/00000/{number:05d}_hr"), "first"
        )
        for index, piece in enumerate(pieces):
            ecg = ecgs[f"{number}:w{index}"]
            np.testing.assert_allclose(ecg["signal"] / 1000, piece.signal, atol=0.00051)
            assert ecg["patient_id"] == str(999 + number)
    index = pq.read_table(folder / "index.parquet")
    assert index.num_rows == 48 and None not in index["fold"].to_pylist()


@pytest.mark.parametrize("options", [DEEPECG, FAIRSEQ])
def test_synthetic_ecgs_can_be_standardised_too(tmp_path, options) -> None:
    plain = build("synthetic", tmp_path / "mv", options={"n": "30"})
    other = build("synthetic", tmp_path / "other", options={"n": "30", **options})
    millivolts, ecgs = stored(tmp_path / "mv", "synthetic"), stored(tmp_path / "other", "synthetic")
    kept = {name.partition(":")[0] for name in ecgs}
    assert len(kept) + other.summary["rejects"]["total"] == 30 == plain.summary["records"]
    assert len(kept) >= 25
    for name, ecg in ecgs.items():
        source = millivolts[name.partition(":")[0]]
        np.testing.assert_array_equal(ecg["labels"], source["labels"])
        assert ecg["age"] == source["age"] and ecg["patient_id"] == source["patient_id"]
        assert not np.array_equal(ecg["signal"], source["signal"])


@pytest.mark.parametrize("batch", ["0", "many"])
def test_bad_batches_are_refused_before_anything_is_read(tmp_path, batch) -> None:
    with pytest.raises(UserError, match="batch is .* whole number >= 1"):
        build("synthetic", tmp_path, options={**DEEPECG, "batch": batch})
