"""Fixtures that every room's tests share."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# before jax is imported: eight CPU devices, so that meshes are tested everywhere
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    # small models, many programs: the time to compile is what counts
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
)
# commands run as subprocesses compile the same programs again and again
_CACHE = tempfile.TemporaryDirectory(prefix="deepecg-xla-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
_ENOUGH_BYTES = 2 * 2**30


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real ECGs and golden numbers (``DEEPECG_SHARED``); its tests are ``real``."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DEEPECG_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set DEEPECG_SHARED to run this test")
    return folder


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    """JAX keeps every program it compiled: gigabytes at the end of the suite."""
    yield
    pages = Path("/proc/self/statm")
    if "jax" in sys.modules and pages.is_file():
        resident = int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if resident > _ENOUGH_BYTES:
            sys.modules["jax"].clear_caches()
            gc.collect()
