"""Opening and reading built data sets, and noticing damaged ones."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import dataset_folder, open_split
from deepecg_jax.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "300", "shares": "2/1/0"})
    return folder


@pytest.fixture
def copy(data_dir, tmp_path) -> Path:
    """A copy of the data set that a test may damage; gives the version's folder."""
    target = tmp_path / "copy/synthetic/1.0.0"
    target.mkdir(parents=True)
    for file in (data_dir / "synthetic/1.0.0").iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def reopen(folder: Path, split: str = "train"):
    return open_split(folder.parents[1], "synthetic", split)


def test_index_and_ecgs_agree_everywhere(data_dir) -> None:
    for name in ("train", "validation"):
        split = open_split(data_dir, "synthetic", name)
        rows = split.index.to_pylist()
        assert len(split) == len(rows)
        for i, row in enumerate(rows):
            ecg = split[i]
            assert row["position"] == i and row["split"] == name and row["fold"] is None
            for field in ("record_id", "patient_id", "sex"):
                assert row[field] == ecg[field]
            assert row["age"] == ecg["age"] and row["labels"] == ecg["labels"].tolist()
        np.testing.assert_array_equal(split.labels, [row["labels"] for row in rows])


def test_any_way_of_reading_gives_the_same(data_dir) -> None:
    split = open_split(data_dir, "synthetic", "train")
    assert len(split.files) > 1  # the test means something only with several shards
    positions = [len(split) - 1, 0, 57, 0, -1]
    together = split.__getitems__(positions)
    loaded = split.load()
    for position, ecg in zip(positions, together, strict=True):
        np.testing.assert_array_equal(ecg["signal"], split[position]["signal"])
        for field, array in loaded.items():
            np.testing.assert_array_equal(array[position], ecg[field], err_msg=field)
    assert loaded["signal"].dtype == np.int16 and loaded["signal"].shape == (len(split), 2500, 12)
    assert set(split.load(["age", "sex"])) == {"age", "sex"}
    with pytest.raises(IndexError):
        split[len(split)]
    with pytest.raises(UserError, match="no field 'signals'"):
        split.load(["signals"])


def test_a_pickled_split_reads_in_another_process(data_dir) -> None:
    split = open_split(data_dir, "synthetic", "train")
    first = split[3]["record_id"]
    again = pickle.loads(pickle.dumps(split))
    assert again[3]["record_id"] == first and len(again) == len(split)


def test_what_does_not_exist_is_named(data_dir) -> None:
    with pytest.raises(UserError, match="no data set 'ptb_xl' .*there are synthetic"):
        open_split(data_dir, "ptb_xl", "train")
    with pytest.raises(UserError, match="there is none"):
        open_split(data_dir / "nowhere", "ptb_xl", "train")
    with pytest.raises(UserError, match="no version 2.0.0; it has 1.0.0"):
        open_split(data_dir, "synthetic", "train", version="2.0.0")
    with pytest.raises(UserError, match="no split 'test'; it has train, validation"):
        open_split(data_dir, "synthetic", "test")


def test_the_newest_version_is_taken(copy) -> None:
    for version in ("1.10.0", "1.9.0", "incomplete.x_2.0.0"):
        (copy.parent / version).mkdir()
        (copy.parent / version / "dataset_info.json").write_text("{}")
    assert dataset_folder(copy.parents[1], "synthetic").name == "1.10.0"


def shard(copy: Path) -> Path:
    return sorted(copy.glob("synthetic-train*"))[1]


@pytest.mark.parametrize("keep", [0, 1000, 0.5, -65536, -1])
def test_a_truncated_shard_is_named(copy, keep) -> None:
    content = shard(copy).read_bytes()
    shard(copy).write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else keep])
    with pytest.raises(UserError, match=f"{shard(copy).name} is damaged"):
        reopen(copy)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_truncated_shard_is_named_without_the_summarys_sizes(copy, keep) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "files": {}}))
    content = shard(copy).read_bytes()
    shard(copy).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=f"{shard(copy).name} is damaged"):
        reopen(copy).load()


def test_flipped_bytes_are_noticed_when_they_are_read(copy) -> None:
    content = bytearray(shard(copy).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    shard(copy).write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{shard(copy).name} is damaged"):
        reopen(copy).load()


def test_a_missing_shard_contract_or_table_is_named(copy) -> None:
    for name in ("signal.json", "labels.json", "index.parquet", "features.json", shard(copy).name):
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(UserError, match=f"{name} does not exist"):
            reopen(copy)
        (copy / name).write_bytes(content)
    reopen(copy)


def test_labels_json_must_fit_the_shards(copy) -> None:
    names = json.loads((copy / "labels.json").read_text())
    (copy / "labels.json").write_text(json.dumps(names[:-1]))
    with pytest.raises(UserError, match=f"names {len(names) - 1} labels, but the shards hold"):
        reopen(copy)
    (copy / "labels.json").write_text("{")
    with pytest.raises(UserError, match="labels.json is no JSON"):
        reopen(copy)


def test_the_index_must_fit_the_shards(copy) -> None:
    table = pq.read_table(copy / "index.parquet")
    pq.write_table(table.slice(1), copy / "index.parquet")
    with pytest.raises(UserError, match="rows for train, but the shards hold"):
        reopen(copy)
    order = np.arange(table.num_rows)
    order[:2] = 1, 0
    pq.write_table(table.take(order), copy / "index.parquet")
    with pytest.raises(UserError, match="ECG 0 of train"):
        reopen(copy)
    pq.write_table(table.drop_columns(["fold"]), copy / "index.parquet")
    with pytest.raises(UserError, match="no column 'fold'"):
        reopen(copy)
    (copy / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="index.parquet cannot be read"):
        reopen(copy)


def test_a_contract_of_another_length_is_refused(copy) -> None:
    contract = json.loads((copy / "signal.json").read_text())
    (copy / "signal.json").write_text(json.dumps({**contract, "seconds": 5.0}))
    with pytest.raises(UserError, match="1250 samples"):
        reopen(copy)


SCRIPT = """
import sys
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.data.building.build import build
folder, mode = sys.argv[1:]
if mode == "build":
    build("synthetic", folder, options={"n": "40"})
open_split(folder, "synthetic", "train").load()
print(",".join(name for name in ("tensorflow", "torch", "jax", "tensorflow_datasets")
      if name in sys.modules))
"""


@pytest.mark.parametrize(("mode", "allowed"), [("read", ""), ("build", "tensorflow_datasets")])
def test_no_tensorflow_is_imported(data_dir, tmp_path, mode, allowed) -> None:
    folder = tmp_path if mode == "build" else data_dir
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), mode],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == allowed
