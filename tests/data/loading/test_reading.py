"""Batches read straight from the bytes of shards hold what records read one by one hold."""

import itertools
from collections.abc import Iterator

import grain
import numpy as np
import pytest

from deepecg_jax.data.loading.batches import evaluation_batches, training_batches
from deepecg_jax.data.loading.inputs import maybe_cached, patient_numbers, patients_subset
from deepecg_jax.data.loading.records import ArrayRecords, Records, Selected, rows_of
from deepecg_jax.data.shards.split import Split, open_split

BATCH, SEED = 24, 5


class OneByOne:
    """Records without the fast way."""

    def __init__(self, records: Records):
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int):
        return self.records[index]


def simply(sources, shares, step: int, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """What `training_batches` is defined to give: Grain's shuffle and mix, record by record."""
    streams = [
        grain.MapDataset.source(OneByOne(source)).seed(SEED + i).shuffle().repeat()
        for i, source in enumerate(sources)
    ]
    stream = streams[0] if len(streams) == 1 else grain.MapDataset.mix(streams, weights=shares)
    while True:
        records = [stream[step * BATCH + int(row)] for row in rows]
        yield {name: np.stack([record[name] for record in records]) for name in records[0]}
        step += 1


def require_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)


@pytest.fixture
def in_memory(data_dir) -> Selected:
    other = open_split(data_dir, "synthetic", "validation")
    cached = maybe_cached(other, 1.0)
    assert isinstance(cached, ArrayRecords)
    numbers = 1000 + np.arange(len(other), dtype=np.int32)
    columns = {"patient": numbers}
    return Selected(cached, np.arange(len(other)), ("signal", "lead_mask"), columns)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_batch_is_the_same_to_the_bit(on_disk, in_memory, mixed, workers) -> None:
    sources, shares = ([on_disk, in_memory], [0.7, 0.3]) if mixed else ([on_disk], [1.0])
    rows = np.array([1, 2, 5, 11, 23])
    found = training_batches(sources, shares, BATCH, SEED, 3, rows, 2, workers)
    for expected, _ in zip(simply(sources, shares, 3, rows), range(8), strict=False):
        require_equal(next(found), expected)
    found.close()


def test_evaluation_reads_the_same_with_and_without_the_fast_way(on_disk) -> None:
    fast, slow = evaluation_batches(on_disk, 50), evaluation_batches(OneByOne(on_disk), 50)
    for (found, real), (expected, also) in zip(fast, slow, strict=True):
        assert real == also
        require_equal(found, expected)


def test_a_split_gives_rows_in_the_order_asked_for(split: Split) -> None:
    positions = np.array([len(split) - 1, 0, 7, 7])
    rows = split.rows(positions)
    for row, position in enumerate(positions.tolist()):
        np.testing.assert_array_equal(rows["signal"][row], split[position]["signal"])
        np.testing.assert_array_equal(rows["lead_mask"][row], split[position]["lead_mask"])
    with pytest.raises(IndexError):
        split.rows(np.array([len(split)]))


def test_batches_lie_where_a_cpu_device_takes_them(on_disk, in_memory) -> None:
    for source in (on_disk, in_memory):
        for _ in range(5):
            assert rows_of(source, np.arange(7))["signal"].ctypes.data % 64 == 0


def test_patients_are_numbered_as_numpy_sorts_their_ids(split: Split) -> None:
    import pyarrow as pa

    ids = ["b", "a", "ä", "B", "10", "9", "", "a", "心", "b", "\U00010000", "\uffff"]
    column = split.index.schema.get_field_index("patient_id")
    table = split.index.slice(0, len(ids)).set_column(column, "patient_id", pa.array(ids))
    split.index = table
    numbers, count = patient_numbers(split)
    unique, expected = np.unique(np.asarray(ids), return_inverse=True)
    assert numbers.tolist() == expected.tolist() and count == len(unique)


def test_a_share_of_the_patients_is_chosen_as_by_their_ids(split: Split) -> None:
    ids = np.asarray(split.index["patient_id"].to_pylist())
    unique = np.unique(ids)
    chosen = np.random.default_rng(9).choice(unique, round(0.4 * len(unique)), replace=False)
    expected = np.flatnonzero(np.isin(ids, chosen))
    assert patients_subset(split, 0.4, 9).tolist() == expected.tolist()


def test_nested_shares_hold_the_patients_of_smaller_ones(split: Split) -> None:
    ids = np.asarray(split.index["patient_id"].to_pylist())
    shares = [0.01, 0.03, 0.1, 0.3, 0.6, 1.0]
    chosen = [set(ids[patients_subset(split, share, 4, nested=True)]) for share in shares]
    for smaller, larger in itertools.pairwise(chosen):
        assert smaller <= larger
    assert [len(c) for c in chosen] == [max(1, round(s * len(set(ids)))) for s in shares]
    # whole patients, and others for another seed
    kept = patients_subset(split, 0.3, 4, nested=True)
    assert np.isin(ids, ids[kept]).sum() == len(kept)
    assert set(ids[patients_subset(split, 0.3, 5, nested=True)]) != set(ids[kept])
