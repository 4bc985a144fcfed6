"""Seconds of calls that a device works on while the host goes on."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from accelerator_parts.rows import Row

GROUPS = 4


def pace(
    call: Callable[[], Any], wait: Callable[[Any], object], calls: int, most: float = 6.0
) -> Row:
    """Milliseconds a call: the median, least and most of four groups of calls.

    Within a group the host waits for the last call alone, as a training does.

    Args:
        call: starts the work.
        wait: ends when the work of a call has ended.
        calls: how many in all; fewer where they would take longer than ``most`` seconds.
    """
    wait(call())
    wait(call())
    start = time.perf_counter()
    wait(call())
    one = max(time.perf_counter() - start, 1e-6)
    each = max(1, min(calls, int(most / one)) // GROUPS)
    seconds = []
    for _ in range(GROUPS):
        start = time.perf_counter()
        result = None
        for _ in range(each):
            result = call()
        wait(result)
        seconds.append((time.perf_counter() - start) / each)
    return {
        "ms": 1e3 * statistics.median(seconds),
        "ms_least": 1e3 * min(seconds),
        "ms_most": 1e3 * max(seconds),
        "calls": each * GROUPS,
    }
