"""Zero-padded ECGs on their way from a data set to a loss."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.config import DataConfig
from deepecg_jax.data.loading.inputs import labelled_split, pretraining_sources
from deepecg_jax.data.shards.index import QUALITY_FILE
from deepecg_jax.data.shards.split import dataset_folder, open_split
from deepecg_jax.errors import UserError


@pytest.fixture
def data(tmp_path):
    build("synthetic", tmp_path, options={"n": "60"})
    return DataConfig(dir=str(tmp_path), dataset="synthetic")


def measure(config: DataConfig, padded: dict[int, int]) -> None:
    rows = [{"split": "train", "position": i, "valid_samples": n} for i, n in padded.items()]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, dataset_folder(config.dir, config.dataset) / QUALITY_FILE)


def test_padded_ecgs_are_masked_in_fine_tuning_and_left_out_of_pretraining(data) -> None:
    n_train = len(open_split(data.dir, "synthetic", "train"))
    whole = labelled_split(data, "train", ("Afib",), 1.0, 0)
    assert "valid_samples" not in whole.records[0]
    measure(data, {3: 2000, 5: 2500})
    masked = labelled_split(data, "train", ("Afib",), 1.0, 0)
    assert [masked.records[i]["valid_samples"] for i in (2, 3, 5)] == [2500, 2000, 2500]
    batch = next(training_batches([masked.records], [1.0], 8, 0))
    assert batch["valid_samples"].shape == (8,)
    sources, _, _, padded = pretraining_sources(data, 0, {"patient"}, whole=True)
    assert padded == 1 and len(sources[0]) == n_train - 1
    assert 3 not in [int(p) for p in sources[0].positions]
    # an objective that takes pieces of ECGs gets all, and is told where they end
    sources, _, _, padded = pretraining_sources(data, 0, set(), whole=False)
    assert padded == 0 and len(sources[0]) == n_train
    assert [sources[0][i]["valid_samples"] for i in (2, 3, 5)] == [2500, 2000, 2500]
    assert "patient" not in sources[0][0]
    with pytest.raises(ValueError, match="no column age"):
        pretraining_sources(data, 0, {"age"}, whole=True)
    measure(data, dict.fromkeys(range(n_train), 1250))
    with pytest.raises(UserError, match="every ECG of .* is zero-padded"):
        pretraining_sources(data, 0, {"patient"}, whole=True)


def test_a_quality_table_that_does_not_fit_is_refused(data) -> None:
    measure(data, {10_000: 2000})
    with pytest.raises(UserError, match="measures ECG 10000 of train"):
        _ = open_split(data.dir, "synthetic", "train").valid_samples
    path = dataset_folder(data.dir, "synthetic") / QUALITY_FILE
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        _ = open_split(data.dir, "synthetic", "train").valid_samples
