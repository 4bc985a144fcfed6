"""What people read while a build runs."""

import pytest
from rich.console import Console

from deepecg_jax.cli import progress
from deepecg_jax.cli.progress import Rate, duration, log_lines
from deepecg_jax.data.staging.run import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_of_this_run_and_the_time_left_of_what_is_left() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.words(Progress(5000, 8000, 0, 5000)) == ""
    clock.now += 10
    # 1,000 files in 10 s; the 5,000 that an earlier run did say nothing about its speed
    assert rate.words(Progress(6000, 8000, 3, 5000)) == "100 files/s, 3 rejected, 20 s left"
    assert rate.words(Progress(8000, 8000, 0, 5000)) == "300 files/s, 0 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (120, "2 min"),
        (5900, "98 min"),
        (11_100, "3 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations(seconds, text) -> None:
    assert duration(seconds) == text


def test_a_log_gets_a_line_every_half_minute(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "err", Console(stderr=True, width=40))
    clock = Clock()
    show = log_lines(clock)
    show(Progress(0, 800_000, 0, 0))
    for _ in range(61):
        clock.now += 1
        show(Progress(round(clock.now - 100) * 100, 800_000, 7, 0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "3,000 of 800,000 files, 100 files/s, 7 rejected, 2 h 13 min left",
        "6,000 of 800,000 files, 100 files/s, 7 rejected, 2 h 12 min left",
    ]
