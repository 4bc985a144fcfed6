"""A small in-memory data set, a very small model, and a short `fit` for the training tests."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from deepecg_jax.config import MeshConfig, OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.records import ArrayRecords
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.training.fit import fit
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
        conv_layers=((8, 16, 16),),
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


@pytest.fixture(scope="session")
def train_config() -> TrainConfig:
    return TrainConfig(steps=6, global_batch=8, log_every=1, checkpoint_every=2)


@pytest.fixture(scope="session")
def mesh_of():
    def make(n_devices: int, **sizes: int):
        return make_mesh(MeshConfig(**sizes), jax.devices()[:n_devices])

    return make


@pytest.fixture(scope="session")
def fit_small():
    """`fit` over records in memory; `stop_at` raises in the data like a kill before that step."""

    def run(
        workdir, mesh, settings, records, build, loss, *, stop_at=None, seed=0, warmup=0, **options
    ):
        config = RunConfig(
            task="test",
            seed=seed,
            workdir=str(workdir),
            optimizer=OptimizerConfig(learning_rate=1e-2),
            schedule=ScheduleConfig(warmup_steps=warmup),
            train=settings,
            mesh=MeshConfig(),
        )

        def batches(step, rows):
            stream = training_batches(
                [records], [1.0], settings.global_batch, seed, step, rows, threads=1
            )
            for number, batch in enumerate(stream, step):
                if number == stop_at:
                    raise KeyboardInterrupt
                yield batch

        return fit(
            config,
            mesh,
            build,
            loss,
            batches,
            metadata={"signal": {}, "model": {}, "seed": seed},
            console=Console(file=io.StringIO()),
            **options,
        )

    return run
