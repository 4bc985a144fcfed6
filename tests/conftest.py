"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest

# before jax is imported: eight CPU devices, so that meshes are tested everywhere
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real ECGs and golden numbers (``DEEPECG_SHARED``); tests that use it are ``real``."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DEEPECG_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set DEEPECG_SHARED to run this test")
    return folder
