"""One signal under two names: found whatever shard it is in, left out or kept, and counted."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_ptb_xl
from hypothesis import given
from hypothesis import strategies as st

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.data.staging.duplicates import Hashes, find_duplicates, signal_hash

RANKS = ["test", "validation", "train"]


@given(
    st.lists(
        st.tuples(st.sampled_from(RANKS), st.lists(st.integers(0, 5), max_size=6)), max_size=5
    ),
    st.randoms(),
)
def test_all_but_one_are_found(shards, random) -> None:
    orders = list(range(sum(len(values) for _, values in shards)))
    random.shuffle(orders)
    left = iter(orders)
    mine = [np.array([next(left) for _ in values], int) for _, values in shards]
    hashes = [
        Hashes(split, np.array(values, np.uint64), order)
        for (split, values), order in zip(shards, mine, strict=True)
    ]
    every = sorted(
        (RANKS.index(split), int(mine[shard][row]), value, (shard, row))
        for shard, (split, values) in enumerate(shards)
        for row, value in enumerate(values)
    )
    firsts: dict[int, tuple[int, int]] = {}
    for _, _, value, place in every:
        firsts.setdefault(value, place)
    expected = {place: firsts[value] for *_, value, place in every if firsts[value] != place}
    assert find_duplicates(hashes) == expected


def test_windows_of_one_recording_may_be_alike() -> None:
    alike = Hashes("train", np.array([7, 7, 7], np.uint64), np.array([3, 3, 4]))
    assert find_duplicates([alike]) == {(0, 2): (0, 0)}


def test_a_hash_is_of_the_samples_alone() -> None:
    signal = np.arange(30000, dtype=np.int16).reshape(2500, 12)
    assert signal_hash(signal) == signal_hash(np.asfortranarray(signal)) < 2**64
    assert signal_hash(signal) == signal_hash(signal.astype(">i2"))
    changed = signal.copy()
    changed[2499, 11] += 1
    assert signal_hash(changed) != signal_hash(signal)


@pytest.fixture
def source(tmp_path: Path, signals: np.ndarray) -> Path:
    """ECGs 1 to 24 in folds 1 to 10; 2 = 9 (validation), 4 = 10 (test), 5 = 6 and 7 = 17."""
    twice = signals.copy()
    twice[1], twice[3], twice[5], twice[16] = twice[8], twice[9], twice[4], twice[6]
    return write_ptb_xl(tmp_path / "s", twice, list(range(1, 11)))


def test_one_is_kept_and_rather_in_the_test_split(source, tmp_path) -> None:
    built = build("ptb_xl", tmp_path / "d", source)
    rejects = {
        r["record_id"]: r for r in pq.read_table(built.folder / "rejects.parquet").to_pylist()
    }
    assert set(rejects) == {"2", "4", "6", "17"}
    assert rejects["4"]["message"] == (
        "the signal equals that of 10 of the test split, which is kept"
    )
    assert rejects["6"]["message"] == "the signal equals that of 5, which is kept"
    assert all(reject["path"].endswith(f"{int(name):05d}_hr") for name, reject in rejects.items())
    assert built.summary["rejects"]["by_reason"] == {"check: duplicate_signal": 4}
    assert built.summary["records"] == 20
    assert {k: v for k, v in built.summary["counts"].items() if k.startswith("dup")} == {
        "duplicate_signals": 4,
        "duplicate_signals_of_another_patient": 4,
        "duplicate_signals_in_another_split": 2,
    }
    quality = pq.read_table(built.folder / "quality.parquet").to_pylist()
    for name in ("train", "validation", "test"):
        split = open_split(tmp_path / "d", "ptb_xl", name)
        stored = [split[i] for i in range(len(split))]
        assert [ecg["record_id"] for ecg in stored] == split.index.column("record_id").to_pylist()
        assert [
            (row["position"], row["signal_hash"]) for row in quality if row["split"] == name
        ] == [(i, signal_hash(ecg["signal"])) for i, ecg in enumerate(stored)]
    assert len({row["signal_hash"] for row in quality}) == 20


def test_they_may_be_kept_and_are_counted(source, tmp_path) -> None:
    built = build("ptb_xl", tmp_path / "d", source, options={"duplicates": "keep"})
    assert built.summary["records"] == 24 and built.summary["rejects"]["total"] == 0
    assert built.summary["counts"]["duplicate_signals"] == 4


def test_what_was_noticed_of_a_rejected_one_is_not_counted(tmp_path, signals) -> None:
    chosen = signals[:4].copy()
    chosen[3] = chosen[0]
    source = write_ptb_xl(tmp_path / "s", chosen, [1], age={0: "300", 3: "300"})
    kept = build("ptb_xl", tmp_path / "k", source, options={"duplicates": "keep"})
    assert kept.summary["counts"]["age_over_89"] == 2
    assert build("ptb_xl", tmp_path / "d", source).summary["counts"]["age_over_89"] == 1


def test_a_split_that_held_copies_only_disappears(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", np.stack([signals[0]] * 2), [1, 10])
    built = build("ptb_xl", tmp_path / "d", source)
    assert set(built.summary["splits"]) == {"test"} and built.summary["records"] == 1
    assert not list(built.folder.glob("*train*"))
