"""A small in-memory data set and a very small model for the training tests."""

import jax
import numpy as np
import pytest

from deepecg_jax.config import MeshConfig, TrainConfig
from deepecg_jax.data.loading.batches import ArrayRecords
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.training.mesh import make_mesh


@pytest.fixture(scope="session")
def model_config() -> WCRConfig:
    return WCRConfig(
        size="tiny",
        width=16,
        heads=2,
        ffn_width=32,
        layers=2,
        positional_kernel=8,
        positional_groups=2,
        conv_layers=((8, 2, 2),) * 4,
    )


@pytest.fixture(scope="session")
def records() -> ArrayRecords:
    rng = np.random.default_rng(0)
    n = 24
    return ArrayRecords(
        {
            "signal": rng.normal(0, 300, (n, 640, 12)).astype(np.int16),
            "lead_mask": np.ones((n, 12), bool),
            "patient": np.arange(n, dtype=np.int32) // 2,
        }
    )


@pytest.fixture
def train_config() -> TrainConfig:
    return TrainConfig(steps=6, global_batch=8, log_every=1, checkpoint_every=2)


@pytest.fixture
def mesh_of():
    def make(n_devices: int, **sizes: int):
        return make_mesh(MeshConfig(**sizes), jax.devices()[:n_devices])

    return make
