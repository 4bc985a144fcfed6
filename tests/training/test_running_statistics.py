"""Running statistics are part of the state: resumed to the bit, averaged, kept with the best."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich.console import Console

from deepecg_jax.config import OptimizerConfig, ScheduleConfig
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.encoder import EfficientNetEncoder
from deepecg_jax.models.efficientnet.shape import Stage
from deepecg_jax.objectives.config import CompatConfig
from deepecg_jax.objectives.views import to_millivolts
from deepecg_jax.training.loop import Run, train
from deepecg_jax.training.optimizer import make_optimizer, make_schedule
from deepecg_jax.training.state import make_state, new_statistics, overlay, weights_of
from deepecg_jax.training.step import make_step

MODEL = EfficientNetConfig(
    variant="custom", stem_width=4, width=8, stages=(Stage("mbconv", 4, 1, 3, 4, 2),)
)


def run_training(workdir, mesh, settings, records, stop_at=None, start_from=None):
    """Train a small EfficientNet; `stop_at` raises in the data like a kill before that step."""
    workdir.mkdir(exist_ok=True)
    schedule = make_schedule(ScheduleConfig(), 1e-2, settings.steps)
    optimizer = make_optimizer(
        OptimizerConfig(learning_rate=1e-2), schedule, settings.clip_norm, CompatConfig()
    )

    def batches(step):
        stream = training_batches([records], [1.0], settings.global_batch, 0, step, threads=1)
        for number, batch in enumerate(stream, step):
            if number == stop_at:
                raise KeyboardInterrupt
            yield batch

    with jax.set_mesh(mesh):
        graphdef, state, shardings = make_state(
            lambda key: EfficientNetEncoder(MODEL, key),
            optimizer,
            mesh,
            jax.random.key(0),
            ema=settings.ema_decay is not None,
            start_from=start_from,
            keep_best=True,
        )

        def loss(weights, batch, key, number, frozen):
            model = nnx.merge(graphdef, weights)
            tokens = model(to_millivolts(batch["signal"]), key=key).tokens
            value = jnp.mean((tokens - 1.0) ** 2)
            return value, {"loss": value, **new_statistics(model)}

        step = make_step(
            loss,
            optimizer,
            schedule,
            shardings,
            mesh,
            0,
            settings.accumulation,
            settings.ema_decay,
        )
        metadata = {"signal": {}, "model": MODEL.model_dump(mode="json"), "seed": 0}
        run = Run(
            workdir, settings, mesh, shardings, step, batches, metadata, Console(file=io.StringIO())
        )
        return train(run, state)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.fixture
def settings(train_config):
    return train_config.model_copy(update={"steps": 4, "ema_decay": 0.9})


def test_resume_after_a_kill_is_exact(tmp_path, mesh_of, settings, records):
    mesh = mesh_of(1)
    whole = run_training(tmp_path / "whole", mesh, settings, records)
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "killed", mesh, settings, records, stop_at=3)
    assert_equal(whole, run_training(tmp_path / "killed", mesh, settings, records))

    statistics = whole["statistics"]
    assert (statistics["batches"] == 4).all()
    assert np.abs(np.asarray(statistics["tail"]["norm"]["mean"])).max() > 0
    # the average holds statistics too: averaged themselves, counts as they are
    average = weights_of(whole)
    assert (average["batches"] == 4).all() and average["batches"].dtype == jnp.int32
    difference = average["tail"]["norm"]["mean"] - statistics["tail"]["norm"]["mean"]
    assert np.abs(np.asarray(difference)).max() > 0
    assert_equal(jax.tree.structure(whole["best"]["params"]), jax.tree.structure(average))
    # neither the optimizer nor its gradient norm knows them
    moments = jax.tree.leaves(whole["opt_state"])
    assert len(moments) < 2 * len(jax.tree.leaves(average))

    # another training starts from weights and statistics
    again = run_training(
        tmp_path / "more",
        mesh,
        settings.model_copy(update={"ema_decay": None}),
        records,
        start_from=overlay(whole["params"], statistics),
    )
    assert (again["statistics"]["batches"] == 8).all()


def test_accumulated_parts_update_the_statistics_one_after_another(
    tmp_path, mesh_of, settings, records
):
    """As PyTorch does: a part is a batch to the norms."""
    halves = settings.model_copy(update={"accumulation": 2, "ema_decay": None, "steps": 1})
    state = run_training(tmp_path / "halves", mesh_of(1), halves, records)
    assert (state["statistics"]["batches"] == 2).all()
