"""The memory of reading does not grow with what was read."""

import os
from pathlib import Path

import pytest
from child_processes import children

from deepecg_jax.data.loading.batches import training_batches

BATCH = 16
SIZE = BATCH * 60_000


def resident() -> int:
    """Bytes of this process and of those below it that are no files (Linux)."""
    total = 0
    for process in {os.getpid(), *children()}:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += 1024 * int(line.split()[1])
    return total


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_constant_over_many_passes(on_disk, workers) -> None:
    a_pass = -(-len(on_disk) // BATCH)
    reading = training_batches([on_disk], [1.0], BATCH, 0, threads=2, workers=workers)
    sizes = []
    for _ in range(6):
        for _ in range(8 * a_pass):
            next(reading)
        sizes.append(resident())
    reading.close()
    # 40 passes, 220 MB, after the first 8; a batch more or less may be under way
    assert 40 * len(on_disk) * 60_000 > 200e6
    assert max(sizes[1:]) - sizes[0] < 6 * SIZE
