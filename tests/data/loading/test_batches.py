"""Batches: the position is a function of the step, whatever the number of hosts."""

import numpy as np

from deepecg_jax.data.loading.batches import (
    evaluation_batches,
    position_of,
    training_batches,
)
from deepecg_jax.data.loading.records import ArrayRecords, Selected

RECORDS = ArrayRecords({"id": np.arange(20)})


def ids(iterator, steps):
    return [next(iterator)["id"].tolist() for _ in range(steps)]


def test_every_record_once_an_epoch_in_a_new_order():
    drawn = np.concatenate(ids(training_batches([RECORDS], [1.0], 5, seed=3), 8))
    first, second = drawn[:20], drawn[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first.tolist() != second.tolist() and first.tolist() != sorted(first)


def test_starting_at_a_step_equals_having_run_to_it():
    whole = ids(training_batches([RECORDS], [1.0], 5, seed=3), 7)
    assert ids(training_batches([RECORDS], [1.0], 5, seed=3, step=4), 3) == whole[4:]
    assert position_of(4, 5) == {"global_next_index": 20}


def test_hosts_share_each_global_batch():
    one = ids(training_batches([RECORDS], [1.0], 4, seed=1), 5)
    for hosts in (2, 4):
        parts = [
            ids(training_batches([RECORDS], [1.0], 4, 1, rows=rows), 5)
            for rows in np.split(np.arange(4), hosts)
        ]
        for step, batch in enumerate(one):
            assert [i for part in parts for i in part[step]] == batch


def test_another_seed_is_another_order():
    assert ids(training_batches([RECORDS], [1.0], 5, seed=0), 2) != ids(
        training_batches([RECORDS], [1.0], 5, seed=1), 2
    )


def test_mixing_keeps_the_shares():
    other = ArrayRecords({"id": 100 + np.arange(7)})
    drawn = np.concatenate(ids(training_batches([RECORDS, other], [0.75, 0.25], 8, seed=0), 50))
    assert abs((drawn >= 100).mean() - 0.25) < 0.01
    assert set(drawn) == {*range(20), *range(100, 107)}


def test_selected_reduces_and_adds_columns():
    source = ArrayRecords({"id": np.arange(5) * 10, "big": np.zeros((5, 100))})
    chosen = Selected(source, np.array([4, 1]), ("id",), {"y": np.array([7, 8])})
    assert len(chosen) == 2 and chosen[0] == {"id": 40, "y": 7} and chosen[1] == {"id": 10, "y": 8}


def test_evaluation_sees_every_record_once_in_equal_shapes():
    batches = list(evaluation_batches(RECORDS, 8))
    assert [real for _, real in batches] == [8, 8, 4]
    assert all(len(batch["id"]) == 8 for batch, _ in batches)
    assert np.concatenate([batch["id"][:real] for batch, real in batches]).tolist() == list(
        range(20)
    )
