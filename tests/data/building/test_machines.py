"""Parts built apart and merged are the data set built at once, and nothing else passes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ecg_sources import content, write_ptb_xl

from deepecg_jax.data.building.build import build
from deepecg_jax.data.building.machines import Part, build_part, merge, parse_part
from deepecg_jax.data.staging import shard
from deepecg_jax.data.staging.run import Manner
from deepecg_jax.errors import UserError

N_PARTS = 3


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    monkeypatch.setattr(shard, "_PER_SMALL_SHARD", 4)


@pytest.fixture
def source(tmp_path: Path, signals: np.ndarray) -> Path:
    """24 ECGs, of which one is a copy of another shard's, and one cannot be read."""
    twice = signals.copy()
    twice[3] = twice[9]
    source = write_ptb_xl(tmp_path / "s", twice, list(range(1, 11)), age={0: "300"})
    (source / "records500/00000/00007_hr.dat").unlink()
    return source


def parts(tmp_path: Path, source: Path, **kwargs) -> list[Path]:
    return [
        build_part(Part(k, N_PARTS), "ptb_xl", tmp_path / f"m{k}", source, **kwargs).folder
        for k in range(1, N_PARTS + 1)
    ]


def test_merged_parts_are_the_data_set_built_at_once(source, tmp_path) -> None:
    whole = build("ptb_xl", tmp_path / "whole", source)
    assert len(whole.summary["files"]) > N_PARTS
    assert "check: duplicate_signal" in whole.summary["rejects"]["by_reason"]
    folders = parts(tmp_path, source)
    assert all(len(list(folder.glob("*.array_record"))) > 1 for folder in folders)
    source.rename(tmp_path / "elsewhere")  # only the parts are needed
    merged = merge(tmp_path / "d/ptb_xl", folders[::-1])
    assert not merged.reused and content(merged.folder) == content(whole.folder)
    assert sorted(p.name for p in merged.folder.parent.iterdir()) == [".lock", "1.0.0"]
    assert merge(tmp_path / "d/ptb_xl", folders).reused
    again = merge(tmp_path / "d/ptb_xl", folders, overwrite=True)  # the parts were left whole
    assert content(again.folder) == content(whole.folder)


def test_parts_that_are_missing_given_twice_or_unfinished_are_named(source, tmp_path) -> None:
    folders = parts(tmp_path, source)
    target = tmp_path / "d/ptb_xl"
    for given, words in [
        (folders[:1], "Parts 2/3, 3/3 of ptb_xl are missing"),
        (folders[1:], "Part 1/3 of ptb_xl is missing"),
        ([*folders, folders[1]], "Part 2/3 is given twice"),
        ([*folders, tmp_path / "nowhere"], "nowhere does not exist"),
        ([*folders, source], "is no unfinished build"),
    ]:
        with pytest.raises(UserError, match=words):
            merge(target, given)
    with pytest.raises(UserError, match="merged into DATA_DIR/ptb_xl"):
        merge(tmp_path / "d/other", folders)
    shard = sorted(folders[1].glob("*.array_record"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match="of part 2/3 is missing or damaged; run the part's build"):
        merge(target, folders)
    repaired = build_part(Part(2, N_PARTS), "ptb_xl", tmp_path / "m2", source)
    assert not repaired.reused and repaired.records < 24 / 2
    assert merge(target, folders).summary["records"] == 22
    (folders[0] / "part.json").unlink()
    with pytest.raises(UserError, match="is not finished; run its build command again"):
        merge(target, folders, overwrite=True)


def test_parts_of_different_builds_do_not_mix(source, tmp_path) -> None:
    folders = parts(tmp_path, source)
    target = tmp_path / "d/ptb_xl"

    for part, changed, words in [
        (Part(3, 3), {"limit": 20}, "the first is of limit None, not 20"),
        (Part(3, 3), {"options": {"duplicates": "keep"}}, "option duplicates reject, not keep"),
        (Part(3, 4), {}, "3 parts, not 4"),
    ]:
        other = build_part(part, "ptb_xl", tmp_path / "o", source, overwrite=True, **changed)
        with pytest.raises(UserError, match=words):
            merge(target, [*folders[:2], other.folder])
    state = json.loads((folders[2] / "build.json").read_text())
    state["code"]["numpy"] = "1.0"
    (folders[2] / "build.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="numpy .*, not 1.0"):
        merge(target, folders)


def test_a_part_is_kept_gone_on_with_or_replaced(source, tmp_path) -> None:
    def part(**kwargs):
        return build_part(Part(1, 3), "ptb_xl", tmp_path / "d", source, **kwargs)

    first = part()
    assert first.shards > 1 and part().reused
    stamps = {p: p.stat().st_mtime_ns for p in first.folder.glob("*.array_record")}
    lost = sorted(stamps)[0]
    lost.with_suffix(".parquet").unlink()
    (first.folder / "part.json").unlink()  # as if it had been stopped
    said: list[str] = []
    part(manner=Manner(say=said.append))
    assert f"{first.shards - 1} of {first.shards} shards" in said[0]
    changed = {p for p in stamps if p.stat().st_mtime_ns != stamps[p]}
    assert changed == {lost}
    with pytest.raises(UserError, match="was built of limit None, not 20; build with --overwrite"):
        part(limit=20)
    assert part(limit=20, overwrite=True).records < 24
    shutil.rmtree(tmp_path / "d")


def test_more_parts_than_shards(tmp_path, signals) -> None:
    source = write_ptb_xl(tmp_path / "s", signals[:4], [1])
    folders = [build_part(Part(k, 2), "ptb_xl", tmp_path / "d", source).folder for k in (1, 2)]
    whole = build("ptb_xl", tmp_path / "w", source)
    assert content(merge(tmp_path / "d/ptb_xl", folders).folder) == content(whole.folder)


@pytest.mark.parametrize("text", ["3", "0/3", "4/3", "a/b", "1/3/5", "", "-1/3", "1.0/3"])
def test_bad_part_numbers(text) -> None:
    with pytest.raises(UserError, match="must be K/N"):
        parse_part(text)
    assert parse_part("3/8") == Part(3, 8) and str(Part(3, 8)) == "3/8"


def test_labels_that_a_source_names_are_merged_without_it(tmp_path, source) -> None:
    rows = [f"records500/00000/{n:05d}_hr.hea,p{n},{n % 2}" for n in range(1, 13)]
    (source / "mine.csv").write_text("\n".join(["path,patient_id,label:AF", *rows]) + "\n")
    given = {"name": "table", "source": source / "mine.csv"}
    folders = [build_part(Part(k, 2), data_dir=tmp_path / f"m{k}", **given).folder for k in (1, 2)]
    whole = content(build(data_dir=tmp_path / "w", **given).folder)
    shutil.rmtree(source)
    assert content(merge(tmp_path / "d/table", folders).folder) == whole
    assert json.loads(whole["labels.json"]) == ["AF"]
