"""How data sets come to be: the same for any number of workers, all or nothing."""

import fcntl

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import content, write_ptb_xl

from deepecg_jax.data.building.build import build
from deepecg_jax.data.building.builder import make_builder
from deepecg_jax.data.catalogue import builder_file, builder_names
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.data.staging.run import Progress
from deepecg_jax.errors import UserError
from deepecg_jax.signals.standard.millivolt import to_microvolts
from deepecg_jax.signals.synthetic.findings import FINDINGS
from deepecg_jax.signals.synthetic.generate import generate


def test_the_shipped_builders() -> None:
    assert set(builder_names()) >= {"ptb_xl", "cinc2021", "synthetic"}


def test_synthetic_ecgs_are_the_generators(tmp_path) -> None:
    build("synthetic", tmp_path, options={"n": "60", "seed": "5"})
    expected = generate(np.arange(60), seed=5)
    place = {name: i for i, name in enumerate(expected.record_id.tolist())}
    seen = []
    for name in ("train", "validation", "test"):
        split = open_split(tmp_path, "synthetic", name)
        assert split.label_names == FINDINGS
        for i in range(len(split)):
            ecg, at = split[i], place[split[i]["record_id"]]
            seen.append(at)
            np.testing.assert_array_equal(ecg["signal"], to_microvolts(expected.signal[at]))
            np.testing.assert_array_equal(ecg["labels"], expected.labels[at])
            assert ecg["patient_id"] == expected.patient_id[at] and ecg["sex"] == expected.sex[at]
            assert ecg["age"] == expected.age[at]
    assert sorted(seen) == list(range(60))


def test_no_patient_is_in_two_splits(tmp_path) -> None:
    folder = build("synthetic", tmp_path, options={"n": "200"}).folder
    index = pq.read_table(folder / "index.parquet")
    pairs = set(zip(*(index.column(c).to_pylist() for c in ("patient_id", "split")), strict=True))
    patients = [patient for patient, _ in pairs]
    assert len(patients) == len(set(patients)) < 200


def test_any_number_of_workers_gives_the_same_bytes(ptb_xl_source, tmp_path) -> None:
    (ptb_xl_source / "records500/00000/00004_hr.dat").unlink()  # a reject is part of it
    one = build("ptb_xl", tmp_path / "one", ptb_xl_source, workers=1)
    two = build("ptb_xl", tmp_path / "two", ptb_xl_source, workers=2)
    assert content(one.folder) == content(two.folder)
    three = build("synthetic", tmp_path / "one", options={"n": "300"}, workers=3)
    single = build("synthetic", tmp_path / "two", options={"n": "300"}, workers=1)
    assert content(three.folder) == content(single.folder)
    assert len(list(three.folder.glob("*train.array_record*"))) > 1


def test_resampled_ecgs_do_not_depend_on_the_threads_of_blas(tmp_path) -> None:
    """A pool's processes have one thread, this process has one a processor."""
    signals = np.repeat(generate(np.arange(40), seed=9).signal, 2, axis=1)
    source = write_ptb_xl(tmp_path / "s", signals, list(range(1, 11)), rate=500.0)
    one = build("ptb_xl", tmp_path / "one", source, workers=1)
    two = build("ptb_xl", tmp_path / "two", source, workers=2)
    assert content(one.folder) == content(two.folder)


def test_progress_reaches_the_end(ptb_xl_source, tmp_path) -> None:
    (ptb_xl_source / "records500/00000/00004_hr.dat").unlink()
    seen: list[Progress] = []
    build("ptb_xl", tmp_path, ptb_xl_source, on_progress=seen.append)
    assert seen[0] == Progress(0, 24, 0, 0) and seen[-1] == Progress(24, 24, 1, 0)
    assert [now.done for now in seen] == sorted(now.done for now in seen)
    assert {now.done for now in seen} == set(range(25))


def test_limit_takes_the_first(ptb_xl_source, tmp_path) -> None:
    folder = build("ptb_xl", tmp_path, ptb_xl_source, limit=7).folder
    names = pq.read_table(folder / "index.parquet").column("record_id").to_pylist()
    assert sorted(map(int, names)) == list(range(1, 8))


def test_a_complete_build_is_kept_unless_overwritten(tmp_path) -> None:
    first = build("synthetic", tmp_path, options={"n": "20"})
    stamp = (first.folder / "summary.json").stat().st_mtime_ns
    again = build("synthetic", tmp_path, options={"n": "20"})
    assert again.reused and (first.folder / "summary.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="was built with options .*--overwrite"):
        build("synthetic", tmp_path, options={"n": "30"})
    changed = build("synthetic", tmp_path, options={"n": "30"}, overwrite=True)
    assert not changed.reused and changed.summary["records"] == 30


def test_an_overwrite_that_fails_keeps_the_old_data(ptb_xl_source, tmp_path) -> None:
    before = content(build("ptb_xl", tmp_path / "d", ptb_xl_source).folder)
    for file in (ptb_xl_source / "records500/00000").glob("*.dat"):
        file.unlink()
    with pytest.raises(UserError, match="All 24 recordings were rejected"):
        build("ptb_xl", tmp_path / "d", ptb_xl_source, overwrite=True)
    assert content(tmp_path / "d/ptb_xl/1.0.0") == before


def test_an_incomplete_folder_is_not_taken_for_a_data_set(tmp_path) -> None:
    (tmp_path / "synthetic/1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match="no complete data set"):
        build("synthetic", tmp_path, options={"n": "20"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "ptbxl"}, "did you mean 'ptb_xl'"),
        ({"name": "nothing_like_it"}, "there are "),
        ({"name": "ptb_xl"}, "needs --source.*physionet"),
        ({"name": "ptb_xl", "source": "/does/not/exist"}, "source /does/not/exist does not exist"),
        ({"options": {"number": "3"}}, "no option 'number'"),
        ({"options": {"n": "0"}}, "whole number >= 1"),
        ({"limit": 0}, "limit is 0"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_bad_requests(tmp_path, arguments, words) -> None:
    with pytest.raises(UserError, match=words):
        build(**{"name": "synthetic", "data_dir": tmp_path, **arguments})


def test_two_builds_of_one_data_set_do_not_meet(tmp_path) -> None:
    (tmp_path / "synthetic").mkdir()
    with (tmp_path / "synthetic/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another process is building synthetic"):
            build("synthetic", tmp_path, options={"n": "20"})


def test_tfds_own_way_to_a_build(ptb_xl_source, tmp_path) -> None:
    """A manual download folder instead of a source, and TFDS' generators for its own writer."""
    import tensorflow_datasets as tfds

    builder = make_builder(builder_file("ptb_xl"), data_dir=tmp_path / "d")
    config = tfds.download.DownloadConfig(manual_dir=ptb_xl_source)
    builder.download_and_prepare(download_config=config, download_dir=tmp_path / "downloads")
    usual = build("ptb_xl", tmp_path / "usual", ptb_xl_source)
    shards = {name: data for name, data in content(usual.folder).items() if "array_record" in name}
    assert shards and shards.items() <= content(tmp_path / "d/ptb_xl/1.0.0").items()

    builder = make_builder(builder_file("ptb_xl"), data_dir=tmp_path / "d2", source=ptb_xl_source)
    generators = builder._split_generators(None)
    split = open_split(tmp_path / "d", "ptb_xl", "test")
    for name, features in generators["test"]:
        position = split.index.column("record_id").to_pylist().index(name)
        stored = builder.info.features.encode_example(features)
        np.testing.assert_array_equal(features["signal"], split[position]["signal"])
        assert stored["record_id"] == name
    assert set(generators) == {"train", "validation", "test"}
