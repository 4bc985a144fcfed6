"""Groups cut into cells: a partition, and the same sums as each group on its own."""

import numpy as np
import pytest

from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep
from deepecg_jax.evaluation.resampling.partition import Partition
from deepecg_jax.evaluation.resampling.tallies import tally


@pytest.mark.parametrize("number", [0, 1, 3, 90])
def test_every_group_is_a_union_of_cells(number):
    rng = np.random.default_rng(number)
    groups = {str(i): rng.random(200) < rng.random() for i in range(number)}
    cells = Partition.of(200, groups)
    assert sorted(np.concatenate(cells.rows).tolist()) == list(range(200))
    for name, mask in groups.items():
        inside = [rows for rows, use in zip(cells.rows, cells.members[name], strict=True) if use]
        found = sorted(np.concatenate(inside).tolist()) if inside else []
        assert found == np.flatnonzero(mask).tolist()


def test_sums_are_those_of_each_group_alone():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (150, 3)).astype(np.int8)
    scores = rng.random((150, 3))
    counts = rng.integers(0, 4, (150, 6)).astype(np.uint8)
    limits = np.full(3, 0.4)
    groups = {
        "a": np.arange(150) < 60,
        "b": np.arange(150) % 3 == 0,
        "nobody": np.zeros(150, bool),
        "all": np.ones(150, bool),
    }
    masks = [np.ones(150, bool), *groups.values()]
    sums = Partition.of(150, groups).tally(counts, labels, scores, limits)
    for mask, found in zip(masks, sums, strict=True):
        alone = tally(counts[mask], labels[mask], scores[mask], limits)
        for part in ("true_positive", "false_positive", "false_negative", "true_negative"):
            np.testing.assert_array_equal(getattr(found, part), getattr(alone, part))
        for part in ("squared_error", "expected"):
            np.testing.assert_allclose(getattr(found, part), getattr(alone, part), rtol=1e-12)


def test_pools_that_are_the_same_are_the_same():
    rng = np.random.default_rng(1)
    labels = (rng.random((80, 2)) < 0.3).astype(np.int8)
    scores = np.round(rng.random((80, 2)), 1).astype(np.float32)
    sweep = Sweep(Resampler.of_records(80, 0), 5)
    pools = {"one": [1], "both": [0, 1], "again": [0, 1]}
    done = bootstrap(labels, scores, np.full(2, 0.5), sweep, pools, {})
    np.testing.assert_array_equal(done.pools["one"].auroc[:, 0], done.findings.auroc[:, 1])
    np.testing.assert_array_equal(done.pools["one"].auprc[:, 0], done.findings.auprc[:, 1])
    np.testing.assert_array_equal(done.pools["both"].auroc, done.pools["again"].auroc)
