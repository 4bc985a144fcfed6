"""Batches are sent ahead of the steps, no further than said; errors come in their turn."""

import threading
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.training.feed import Feed
from deepecg_jax.training.metrics_log import Meter, waiting


def put(rows: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(values) for name, values in rows.items()}


def numbered(stop: BaseException | None = None, at: int = 4) -> Iterator[dict[str, np.ndarray]]:
    for number in range(100):
        if stop is not None and number == at:
            raise stop
        yield {"x": np.full(3, number)}


def test_batches_come_in_order() -> None:
    with Feed(numbered(), put) as feed:
        drawn = [int(feed.next(None)[0]["x"][0]) for _ in range(50)]
    assert drawn == list(range(50))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("no")])
def test_an_error_comes_when_its_batch_is_asked_for(stop) -> None:
    with Feed(numbered(stop), put) as feed:
        time.sleep(0.2)  # it has long happened in the thread
        for number in range(4):
            assert int(feed.next(None)[0]["x"][0]) == number
        with pytest.raises(type(stop)) as raised:
            feed.next(None)
    assert raised.value is stop


def test_it_runs_two_batches_ahead_and_closes_what_it_reads() -> None:
    made: list[int] = []
    closed: list[str] = []

    def batches() -> Iterator[dict[str, np.ndarray]]:
        try:
            for number in range(100):
                made.append(number)
                yield {"x": np.zeros(1)}
        finally:
            closed.append(threading.current_thread().name)

    with Feed(batches(), put) as feed:
        time.sleep(0.3)
        assert made == [0, 1]
        feed.next(None)
        time.sleep(0.3)
        assert made == [0, 1, 2] and not closed
    assert closed == ["deepecg-feed"]
    assert all(thread.name != "deepecg-feed" for thread in threading.enumerate())


def slow(seconds: float) -> Iterator[dict[str, np.ndarray]]:
    while True:
        time.sleep(seconds)
        yield {"x": np.zeros(1)}


class Running:
    """What a step gives, computed ``seconds`` after it is asked for."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def block_until_ready(self) -> None:
        time.sleep(self.seconds)


def test_only_the_time_in_which_nothing_runs_is_waiting() -> None:
    with Feed(slow(0.2), put) as feed:
        waited = [feed.next(None)[1] for _ in range(4)]
    assert 0.1 < np.mean(waited[1:]) < 0.4
    # a step takes longer than a batch: the batch is there when it ends
    with Feed(slow(0.1), put) as feed:
        feed.next(None)
        waited = [feed.next(Running(0.3))[1] for _ in range(4)]
    assert max(waited) < 0.05


def test_the_way_to_the_devices_is_waiting_too() -> None:
    def slowly(rows: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        time.sleep(0.2)
        return put(rows)

    with Feed(numbered(), slowly) as feed:
        waited = [feed.next(None)[1] for _ in range(4)]
    assert 0.1 < np.mean(waited[1:]) < 0.4


def test_the_progress_line_says_when_input_waits() -> None:
    assert waiting(0.0, 1.0) == waiting(0.009, 1.0) == ""
    assert waiting(0.1234, 1.0) == "  input waits 12 % of the time: raise data.workers"
    assert waiting(0.36, 0.004) == "", "milliseconds a step are no reading"
    meter = Meter(8)
    meter.add(0.05)
    time.sleep(0.1)
    assert 0.2 < meter.read()["input_wait_fraction"] <= 0.5
