"""Processes below this one."""

import os
from collections.abc import Iterator
from pathlib import Path


def children() -> Iterator[int]:
    """Processes below this one (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    for process in parents:
        above = process
        while above := parents.get(above, 0):
            if above == os.getpid():
                yield process
                break
