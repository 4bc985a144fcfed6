"""Fixtures that every room's tests share."""

import ctypes
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xla_flags import EIGHT_DEVICES

# before jax is imported: eight CPU devices, so that meshes are tested everywhere
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", EIGHT_DEVICES)
# all workers, and the commands that tests start, compile the same programs again and again; the
# workers inherit the folder of the process that started them
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.TemporaryDirectory(prefix="deepecg-xla-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# glibc reads these when a worker starts. Each of many compiling threads would have a heap of its
# own, and what they free would stay with the process: a third of its size
for _name, _value in (("ARENA_MAX", 2), ("TRIM_THRESHOLD_", 65536), ("MMAP_THRESHOLD_", 65536)):
    os.environ.setdefault(f"MALLOC_{_name}", str(_value))

MEMORY_GB = float(os.environ.get("DEEPECG_TEST_MEMORY_GB", "3"))
"""What all workers together may hold; a worker needs about one for what it imports."""
_kept = 0


def pytest_xdist_auto_num_workers() -> int:
    """As many as there are cores, and as the memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, int(MEMORY_GB)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: workers take whole files, and the last one should be short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real ECGs and golden numbers (``DEEPECG_SHARED``); its tests are ``real``."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DEEPECG_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set DEEPECG_SHARED to run this test")
    return folder


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """JAX keeps every program it compiled: gigabytes at the end of the suite."""
    global _kept
    yield
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # a test may add some hundred megabytes before it is asked; what stays after dropping the
    # programs is in use, so they are dropped again only after some growth
    limit = max(0.75 * MEMORY_GB * 2**30 / workers, 1.2 * _kept)
    if "jax" in sys.modules and _resident() > limit:
        sys.modules["jax"].clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        _kept = _resident()


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
