"""A compilation says what it does and for how long, in a log too."""

import io
import time

import pytest
from rich.console import Console

from deepecg_jax.cli import compile_progress


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(compile_progress, "err", Console(file=file, width=60))
    monkeypatch.setattr(compile_progress, "LOG_SECONDS", 0.05)
    return file


def test_a_log_gets_lines_while_it_lasts(log: io.StringIO) -> None:
    with compile_progress.compile_progress("compiling [x]"):
        time.sleep(0.2)
    lines = log.getvalue().splitlines()
    assert lines[0] == "compiling [x] ..." and lines[-1] == "compiling [x]: 0 s"
    assert lines[1] == "compiling [x]: 0 s so far"


def test_what_fails_is_not_said_to_be_done(log: io.StringIO) -> None:
    with pytest.raises(RuntimeError), compile_progress.compile_progress("compiling"):
        raise RuntimeError
    assert log.getvalue().splitlines() == ["compiling ..."]
