"""A small data set on disk, and the records that a training reads of it."""

from pathlib import Path

import numpy as np
import pytest

from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading.records import Selected
from deepecg_jax.data.shards.split import Split, open_split


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("input")
    build("synthetic", folder, options={"n": "160", "shares": "3/1/0"})
    return folder


@pytest.fixture
def split(data_dir: Path) -> Split:
    return open_split(data_dir, "synthetic", "train")


@pytest.fixture
def on_disk(split: Split) -> Selected:
    """Most of the split, read from the shards."""
    positions = np.flatnonzero(np.arange(len(split)) % 5)
    numbers = np.arange(len(positions), dtype=np.int32)
    return Selected(split, positions, ("signal", "lead_mask"), {"patient": numbers})
