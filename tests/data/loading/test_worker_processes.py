"""Processes that read: their errors are this process's, and they end with the batches."""

import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from child_processes import children

from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.records import ArrayRecords, Selected
from deepecg_jax.data.shards.split import Split
from deepecg_jax.errors import UserError

has_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def batches(source, workers: int = 2):
    return training_batches([source], [1.0], 16, 0, threads=2, workers=workers)


def wait_until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def ignores_sigterm(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    (ignored,) = [line for line in status.splitlines() if line.startswith("SigIgn:")]
    return bool(int(ignored.split()[1], 16) >> signal.SIGTERM - 1 & 1)


@pytest.fixture
def server(on_disk) -> set[int]:
    """What stays when batches are closed: the process that workers are forked from."""
    first = batches(on_disk)
    next(first)
    first.close()
    return set(children())


@has_proc
def test_they_end_with_the_batches(on_disk, server) -> None:
    reading = batches(on_disk)
    next(reading)
    assert len(set(children()) - server) == 2
    reading.close()
    assert wait_until(lambda: set(children()) == server)


@has_proc
def test_they_end_when_nobody_holds_the_batches(on_disk, server) -> None:
    reading = batches(on_disk)
    next(reading)
    del reading
    assert wait_until(lambda: set(children()) == server)


@has_proc
def test_one_that_is_killed_is_told_of(on_disk, server) -> None:
    reading = batches(on_disk)
    next(reading)
    for worker in set(children()) - server:
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(UserError, match="killed, most likely for lack of memory; use fewer data.w"):
        for _ in range(20):
            next(reading)
    assert wait_until(lambda: set(children()) == server)


@has_proc
def test_a_scheduler_that_stops_every_process_leaves_them_to_the_training(on_disk, server) -> None:
    reading = batches(on_disk)
    next(reading)
    workers = set(children()) - server
    assert wait_until(lambda: all(map(ignores_sigterm, workers)))  # the second may just begin
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    for _ in range(20):
        next(reading)
    assert workers <= set(children())
    reading.close()
    assert wait_until(lambda: set(children()) == server)


@pytest.fixture
def damaged(split: Split, tmp_path: Path) -> Selected:
    """The records of a split with a shard of which the middle is overwritten."""
    for file in split.files:
        shutil.copy(split.folder / file, tmp_path)
    broken = tmp_path / split.files[0]
    content = bytearray(broken.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200_000] = bytes(200_000)
    broken.write_bytes(content)
    copy = split.without_index()
    copy.folder = tmp_path
    return Selected(copy, np.arange(len(split)), ("signal", "lead_mask"), {})


def test_a_damaged_shard_is_the_same_sentence_with_and_without(damaged) -> None:
    sentences = []
    for workers in (0, 2):
        with pytest.raises(UserError, match="is damaged") as failure:
            for _ in batches(damaged, workers):
                pass
        sentences.append(str(failure.value).split("(")[0])
    assert sentences[0] == sentences[1] and damaged.source.files[0] in sentences[0]


@has_proc
def test_a_source_in_memory_needs_none() -> None:
    before = set(children())
    reading = batches(ArrayRecords({"id": np.arange(50)}))
    next(reading)
    assert set(children()) <= before
    reading.close()


def test_what_is_sent_to_a_process_does_not_grow_with_the_data(split: Split) -> None:
    larger = Split(
        split.folder,
        split.name,
        split.contract,
        split.label_names,
        split.index.take(np.arange(20_000) % len(split)),
        split.files,
        split.lengths,
    )
    sizes = [len(pickle.dumps(s.without_index())) for s in (split, larger)]
    assert sizes[0] == sizes[1] < 10_000 < len(pickle.dumps(larger))
