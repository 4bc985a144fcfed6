"""What is gone on with, and what starts afresh; processes that die are in tests/cli."""

import os
from pathlib import Path

import numpy as np
import pytest
from ecg_sources import content, write_ptb_xl

from deepecg_jax.data.building.build import build
from deepecg_jax.data.staging import pool, shard
from deepecg_jax.data.staging.run import Manner, Progress
from deepecg_jax.errors import UserError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    monkeypatch.setattr(shard, "_PER_SMALL_SHARD", 4)


@pytest.fixture
def stopped(tmp_path, ptb_xl_source, monkeypatch) -> Path:
    """A build that was stopped when three shards were finished; the folder of its data set."""
    with monkeypatch.context() as patch:
        left = iter(range(3))
        write = pool.write_shard

        def write_three(*arguments) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(*arguments)

        patch.setattr(pool, "write_shard", write_three)
        with pytest.raises(KeyboardInterrupt):
            build("ptb_xl", tmp_path / "d", ptb_xl_source)
    folder = tmp_path / "d/ptb_xl"
    assert len(list(folder.glob("incomplete.*/*.array_record"))) == 3
    return folder


def go_on(folder: Path, source: Path, **kwargs) -> tuple[list[str], list[Progress]]:
    said: list[str] = []
    seen: list[Progress] = []
    restart = kwargs.pop("restart", False)
    manner = Manner(restart=restart, say=said.append, on_progress=seen.append)
    build("ptb_xl", folder.parent, source, manner=manner, **kwargs)
    return said, seen


def test_finished_shards_are_not_written_again(stopped, ptb_xl_source, tmp_path) -> None:
    said, seen = go_on(stopped, ptb_xl_source)
    assert len(said) == 1 and "Going on with a stopped build: 3 of " in said[0]
    assert 0 < seen[0].done == seen[0].earlier < 24 and seen[-1].done == 24
    whole = build("ptb_xl", tmp_path / "w", ptb_xl_source)
    assert content(stopped / "1.0.0") == content(whole.folder)
    assert sorted(p.name for p in stopped.iterdir()) == [".lock", "1.0.0"]


def test_another_request_starts_afresh_and_says_so(stopped, ptb_xl_source) -> None:
    said, seen = go_on(stopped, ptb_xl_source, limit=20)
    assert said == ["An unfinished build with 3 shards was of limit None, not 20: starting afresh."]
    assert seen[0] == Progress(0, 20, 0, 0)
    assert sorted(p.name for p in stopped.iterdir()) == [".lock", "1.0.0"]


def test_another_plan_starts_afresh_and_says_so(stopped, ptb_xl_source) -> None:
    table = ptb_xl_source / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("sinus rhythm, ECG 5", "sinus bradycardia"))
    said, seen = go_on(stopped, ptb_xl_source)
    assert "was of other files or metadata in the source: starting afresh" in said[0]
    assert seen[0].done == 0


def test_restart_begins_anew(stopped, ptb_xl_source) -> None:
    said, seen = go_on(stopped, ptb_xl_source, restart=True)
    assert said == ["An unfinished build with 3 shards was removed."] and seen[0].done == 0


@pytest.mark.parametrize("damage", ["short", "gone", "side", "other"])
def test_a_shard_that_is_not_whole_is_written_again(
    stopped, ptb_xl_source, tmp_path, damage
) -> None:
    shard = sorted(stopped.glob("incomplete.*/*.array_record"))[0]
    if damage == "short":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "gone":
        shard.unlink()
    elif damage == "side":
        side = shard.with_suffix(".parquet")
        side.write_bytes(side.read_bytes()[:100])
    else:  # half-written by a process that was killed
        shard.with_name(f"{shard.name}.0123").write_bytes(b"half")
    said, _ = go_on(stopped, ptb_xl_source)
    assert f": {3 if damage == 'other' else 2} of " in said[0]
    whole = build("ptb_xl", tmp_path / "w", ptb_xl_source)
    assert content(stopped / "1.0.0") == content(whole.folder)


def test_what_a_shard_rejected_is_remembered(tmp_path, ptb_xl_source, monkeypatch) -> None:
    for name in ("00004", "00011", "00020"):
        (ptb_xl_source / f"records500/00000/{name}_hr.dat").unlink()
    with monkeypatch.context() as patch:
        write = pool.write_shard
        left = iter(range(4))

        def write_some(*arguments) -> None:
            if next(left, None) is None:
                raise OSError("the disk is full")
            write(*arguments)

        patch.setattr(pool, "write_shard", write_some)
        with pytest.raises(OSError, match="disk is full"):
            build("ptb_xl", tmp_path / "d", ptb_xl_source)
    _, seen = go_on(tmp_path / "d/ptb_xl", ptb_xl_source)
    assert seen[-1].rejected == 3
    whole = build("ptb_xl", tmp_path / "w", ptb_xl_source)
    assert content(tmp_path / "d/ptb_xl/1.0.0") == content(whole.folder)


def test_after_all_were_rejected_the_files_are_read_again(tmp_path, signals) -> None:
    source = write_ptb_xl(tmp_path / "s", np.zeros_like(signals[:3]), [1])
    with pytest.raises(UserError, match="All 3 recordings were rejected"):
        build("ptb_xl", tmp_path / "d", source)
    assert not list((tmp_path / "d/ptb_xl").glob("incomplete.*"))
    write_ptb_xl(source, signals[:3], [1])
    assert build("ptb_xl", tmp_path / "d", source).summary["records"] == 3


def test_a_file_system_without_links(tmp_path, ptb_xl_source, monkeypatch) -> None:
    whole = content(build("ptb_xl", tmp_path / "w", ptb_xl_source).folder)

    def refuse(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert content(build("ptb_xl", tmp_path / "d", ptb_xl_source).folder) == whole


def test_few_tasks_are_on_their_way_at_once() -> None:
    """A million planned records must not be copied to the workers all at once."""

    class Instant:
        def __init__(self) -> None:
            self.open, self.most = 0, 0

        def submit(self, work, task):
            from concurrent.futures import Future

            self.open += 1
            self.most = max(self.most, self.open)
            future: Future[None] = Future()
            original = future.result

            def result(timeout=None):
                self.open -= 1
                return original(timeout)

            future.result = result
            future.set_result(None)
            return future

    instant = Instant()
    pool._run_pool(instant, list(range(100)), 3, lambda: None)  # type: ignore[arg-type]
    assert instant.open == 0 and instant.most <= 6
