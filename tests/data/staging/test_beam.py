"""A build by Apache Beam's local runner is the same build; other runners only spread the tasks."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ecg_sources import content

from deepecg_jax.data.building.build import build
from deepecg_jax.data.staging.run import Manner
from deepecg_jax.errors import UserError

HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs apache-beam (extra beam)")

# Beam warns of what is not installed when it is imported, so it runs outside of pytest; its
# processes are started afresh, so the script must be a file
SCRIPT = """
import sys
from deepecg_jax.data.staging import shard
shard._PER_SMALL_SHARD = 4
from deepecg_jax.cli.main import main
if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    monkeypatch.setattr("deepecg_jax.data.staging.shard._PER_SMALL_SHARD", 4)


def beam(tmp_path: Path, source: Path, *arguments: str) -> subprocess.CompletedProcess:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [
            sys.executable,
            str(script),
            "build",
            "ptb_xl",
            "--source",
            str(source),
            "--data-dir",
            str(tmp_path / "beam"),
            "--beam",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@needs_beam
@pytest.mark.slow
def test_the_local_runner_gives_the_same_bytes(ptb_xl_source, tmp_path) -> None:
    (ptb_xl_source / "records500/00000/00004_hr.dat").unlink()  # a reject is part of it
    whole = build("ptb_xl", tmp_path / "pool", ptb_xl_source, workers=2)
    done = beam(tmp_path, ptb_xl_source)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "beam/ptb_xl/1.0.0") == content(whole.folder)
    left = sorted(p.name for p in (tmp_path / "beam/ptb_xl").iterdir())
    assert left == [".lock", "1.0.0"]


@needs_beam
@pytest.mark.slow
def test_a_pipeline_that_fails_keeps_its_finished_shards(ptb_xl_source, tmp_path) -> None:
    done = beam(tmp_path, ptb_xl_source, "--beam-option", "runer=FnApiRunner")
    assert done.returncode == 2 and "Apache Beam knows no option 'runer'" in done.stderr
    (staging,) = (tmp_path / "beam/ptb_xl").glob("incomplete.*")
    state = (staging / "build.json").read_text()
    # a folder where a shard should be: its task fails, wherever it runs
    (staging / "train-00001.array_record").mkdir()
    done = beam(tmp_path, ptb_xl_source)
    assert done.returncode == 2 and "Traceback" not in done.stderr.split("error:")[-1]
    assert "The Beam pipeline failed" in done.stderr and "the same command goes on" in done.stderr
    assert (staging / "build.json").read_text() == state
    (staging / "train-00001.array_record").rmdir()
    done = beam(tmp_path, ptb_xl_source)
    assert done.returncode == 0, done.stderr
    whole = build("ptb_xl", tmp_path / "pool", ptb_xl_source)
    assert content(tmp_path / "beam/ptb_xl/1.0.0") == content(whole.folder)


def test_without_beam_a_sentence_says_what_to_install(ptb_xl_source, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"pip install 'deepecg_jax\[beam\]'"):
        build("ptb_xl", tmp_path, ptb_xl_source, manner=Manner(beam={}))
