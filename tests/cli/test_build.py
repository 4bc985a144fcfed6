"""``deepecg build`` and ``deepecg inspect`` as people call them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import content, write_challenge, write_ptb_xl, write_wfdb

from deepecg_jax.cli import build as build_command
from deepecg_jax.cli import inspect as inspect_command
from deepecg_jax.cli import merge as merge_command
from deepecg_jax.data.building.build import build
from deepecg_jax.data.building.builder import make_builder
from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.data.staging import shard
from deepecg_jax.errors import UserError
from deepecg_jax.signals.synthetic.generate import generate


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    return generate(np.arange(12), seed=1).signal


def shown(capsys) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_build_says_what_it_did(signals, tmp_path, capsys) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, list(range(1, 10)), age={0: "300.0"})
    (source / "records500/00000/00002_hr.dat").unlink()
    build_command.command("ptb_xl", tmp_path / "d", source, workers=1)
    text = shown(capsys)
    assert "ptb_xl 1.0.0: 11 ECGs of 11 patients" in text
    assert "fold 9 is the test split" in text and "1-7" in text
    assert "1 rejected" in text and "read: unreadable" in text and "age_over_89" in text
    build_command.command("ptb_xl", tmp_path / "d", source, workers=1)
    assert "is already built; nothing to do" in shown(capsys)


def test_options_are_key_value(tmp_path, capsys) -> None:
    options = ["n=30", "shares=1/1/1"]
    build_command.command("synthetic", tmp_path, workers=1, option=options)
    assert "synthetic 1.0.0: 30 ECGs" in shown(capsys)
    assert build_command.parse_options(["folds=1-8/9/10", "x=a=b"]) == {
        "folds": "1-8/9/10",
        "x": "a=b",
    }
    for bad in (["n"], ["=3"], ["n=1", "n=2"]):
        with pytest.raises(UserError, match="--option"):
            build_command.parse_options(bad)


def test_the_last_line_has_the_totals(signals, tmp_path, capsys) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, [1])
    (source / "records500/00000/00002_hr.dat").unlink()
    build_command.command("ptb_xl", tmp_path / "d", source, workers=1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"11 ECGs in 1 shards, 1 rejected, \d+ s, [\d,]+ ECG/s\.", last), last


def test_parts_and_merge(signals, tmp_path, capsys) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, [1, 2, 9, 10])
    parts = []
    for k in (1, 2):
        build_command.command("ptb_xl", tmp_path / "d", source, workers=1, part=f"{k}/2")
        text = shown(capsys)
        assert f"Part {k}/2: " in text and "deepecg merge" in text
        parts.append(tmp_path / f"d/ptb_xl/part-{k}-of-2")
    build_command.command("ptb_xl", tmp_path / "d", source, workers=1, part="2/2")
    assert "Part 2/2 is already built" in shown(capsys)
    process = deepecg("merge", str(tmp_path / "d/ptb_xl"), str(parts[0]))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Part 2/2 of ptb_xl is missing" in " ".join(err.split())
    merge_command.command(tmp_path / "d/ptb_xl", parts)
    assert "12 ECGs in 3 shards, 0 rejected" in shown(capsys)
    merge_command.command(tmp_path / "d/ptb_xl", parts)
    assert "is already there; nothing to do" in shown(capsys)
    whole = build("ptb_xl", tmp_path / "w", source).folder
    assert content(tmp_path / "d/ptb_xl/1.0.0") == content(whole)
    with pytest.raises(UserError, match="without --beam"):
        build_command.command("ptb_xl", tmp_path, source, beam_option=["runner=DirectRunner"])


def test_inspect_a_data_set(signals, tmp_path, capsys) -> None:
    write_challenge(tmp_path / "s", "E00001", signals[0], "# Age: 50\n# Sex: F\n# Dx: 164889003\n")
    write_challenge(tmp_path / "s", "E00002", signals[1], "# Age: 60\n# Sex: M\n# Dx: 426783006\n")
    write_challenge(tmp_path / "s", "E00003", signals[2], "# Age: 60\n")
    folder = build("cinc2021", tmp_path / "d", tmp_path / "s", options={"shares": "1/0/0"}).folder
    for path in (folder, folder.parent):
        inspect_command.command(path)
        text = shown(capsys)
        assert "cinc2021 1.0.0: 2 ECGs of 2 patients" in text
        assert "snomed:164889003 atrial fibrillation" in text and "1 (50.0 %)" in text
        assert "2500 samples (10 s at 250 Hz)" in text and "no_diagnosis" in text
    shard = next(folder.glob("*array_record*"))
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match="is damaged"):
        inspect_command.command(folder)


def test_inspect_refuses_with_one_sentence(signals, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="neither a folder nor an ECG file"):
        inspect_command.command(tmp_path / "nothing.hea")
    with pytest.raises(UserError, match="no data set"):
        inspect_command.command(tmp_path)
    write_wfdb(tmp_path / "flat", np.zeros_like(signals[0]))
    with pytest.raises(UserError, match="was read but cannot be used"):
        inspect_command.command(tmp_path / "flat.hea")
    (tmp_path / "flat.dat").unlink()
    with pytest.raises(UserError, match="cannot be used .read, unreadable."):
        inspect_command.command(tmp_path / "flat.hea")
    assert [path.name for path in tmp_path.glob("*.png")] == ["flat.png"]  # drawn, but refused


def deepecg(*arguments: str, before: str = "", **kwargs) -> subprocess.Popen:
    code = f"{before}from deepecg_jax.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **kwargs,
    )


@pytest.mark.slow
def test_bad_input_is_exit_code_2_and_one_sentence(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, [1, 2])
    process = deepecg(
        "build",
        "ptb_xl",
        "--source",
        str(source),
        "--data-dir",
        str(tmp_path / "d"),
        "--option",
        "folds=1/2/11",
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in err
    assert "Fold 11 of option folds is not in the source; it has 1, 2." in " ".join(err.split())


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid:
            found |= {int(stat.parent.name), *descendants(int(stat.parent.name))}
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_worker_that_is_killed_is_reported_and_finished_shards_are_kept(tmp_path) -> None:
    process = deepecg(
        "build",
        "synthetic",
        "--data-dir",
        str(tmp_path),
        "--option",
        f"n={N}",
        "--workers",
        "2",
        before=SMALL_SHARDS,
    )
    folder = tmp_path / "synthetic"
    deadline = time.monotonic() + 120
    while len(finished(folder)) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers = [
        pid
        for pid in descendants(process.pid)
        if descendants(pid) == set() and b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)  # as the kernel does when memory runs out
    _, err = process.communicate(timeout=60)
    words = " ".join(err.split())
    assert process.returncode == 2 and "A worker process was killed, most likely for lack" in words
    assert "Finished shards are kept" in words and len(finished(folder)) >= 2


SMALL_SHARDS = (
    "from deepecg_jax.data.staging import shard; "
    "shard._PER_SMALL_SHARD, shard._SMALL_SHARDS = 32, 99; "
)
"""Shards of 32 ECGs each, so that a build can be stopped after a few."""

N = 1000


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Finished shards in a staging folder: name -> (inode, time of writing)."""
    sides = folder.glob("incomplete.*/*.parquet")
    shards = [side.with_suffix(".array_record") for side in sides if "rejects" not in side.name]
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in shards}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        return content(
            build("synthetic", tmp_path_factory.mktemp("w"), options={"n": str(N)}).folder
        )


def small_shards(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shard, "_PER_SMALL_SHARD", 32)
    patch.setattr(shard, "_SMALL_SHARDS", 99)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("stop", "workers", "code"),
    [(signal.SIGINT, 1, 3), (signal.SIGTERM, 2, 3), (signal.SIGKILL, 2, -9)],
)
def test_a_stopped_build_goes_on_to_the_same_bytes(
    tmp_path, uninterrupted, stop, workers, code
) -> None:
    arguments = (
        "build",
        "synthetic",
        "--data-dir",
        str(tmp_path / "d"),
        "--option",
        f"n={N}",
        "--workers",
        str(workers),
    )
    folder = tmp_path / "d/synthetic"
    process = deepecg(*arguments, before=SMALL_SHARDS, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(finished(folder)) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    helpers = descendants(process.pid)
    assert workers == 1 or len(helpers) >= 2
    os.kill(process.pid, stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    words = " ".join(err.split())
    assert ("shards are finished and kept, and the same command goes on" in words) == (code == 3)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in helpers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in helpers)
    with pytest.raises(UserError, match="no data set"):
        open_split(tmp_path / "d", "synthetic", "train")
    kept = finished(folder)
    total = len(divide_all())
    assert 4 <= len(kept) < total

    process = deepecg(*arguments, before=SMALL_SHARDS + WATCH)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"Going on with a stopped build: {len(kept)} of {total} shards" in " ".join(out.split())
    written = set(err.split()) & set(divide_all())
    assert written == set(divide_all()) - set(kept)
    stored = {(p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("1.0.0/*array_record-*")}
    assert set(kept.values()) < stored  # the very files
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "1.0.0"]

    assert content(folder / "1.0.0") == uninterrupted


WATCH = (
    "import sys; from deepecg_jax.data.staging import pool, run; write = pool.write_in_processes; "
    "run.write_in_processes = lambda shards, *more: ("
    "[print(s.path.name, file=sys.stderr) for s in shards], write(shards, *more)); "
)
"""Names on stderr of the shards that a build is about to write."""


def divide_all() -> list[str]:
    """Names of all shards of the synthetic data set of ``N`` ECGs."""
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        builder = make_builder(builder_file("synthetic"), data_dir="unused", options={"n": str(N)})
        return [s.path.name for s in builder.job(builder.checked_plan(Path())).shards]


def test_rejects_table_holds_the_reason(signals, tmp_path) -> None:
    source = write_ptb_xl(tmp_path / "s", signals, [1])
    broken = signals[4].copy()
    broken[:, 3:] = np.nan_to_num(broken[:, 3:]) * 1000  # chest leads in microvolts
    write_wfdb(source / "records500/00000/00005_hr", np.clip(broken, -32, 32))
    folder = build("ptb_xl", tmp_path / "d", source).folder
    (reject,) = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert reject["record_id"] == "5" and reject["stage"] == "check" and reject["message"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["rejects"]["by_reason"] == {f"check: {reject['reason']}": 1}
