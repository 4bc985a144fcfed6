"""Running statistics are part of the state: resumed to the bit, averaged, kept with the best."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from deepecg_jax.config import StoppingConfig
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.encoder import EfficientNetEncoder
from deepecg_jax.models.efficientnet.shape import Stage
from deepecg_jax.objectives.segments import to_millivolts
from deepecg_jax.training.state import (
    new_statistics,
    overlay,
    shapes_of,
    split_model,
    weights_of,
)
from deepecg_jax.training.validation import BestByAuroc

MODEL = EfficientNetConfig(
    variant="custom", stem_width=4, width=8, stages=(Stage("mbconv", 4, 1, 3, 4, 2),)
)


class Indifferent(BestByAuroc):
    """A validation that never prefers later weights."""

    def scores(self, params):
        return np.zeros((4, 1), np.float32)


@pytest.fixture
def run_training(fit_small):
    """Train a small EfficientNet; the state after it."""

    def build(key):
        return EfficientNetEncoder(MODEL, key)

    graphdef = split_model(shapes_of(build))[0]

    def loss(weights, batch, draw, frozen):
        model = nnx.merge(graphdef, weights)
        tokens = model(to_millivolts(batch["signal"]), key=draw.key).tokens
        value = jnp.mean((tokens - 1.0) ** 2)
        return value, {"loss": value, **new_statistics(model)}

    def run(*arguments, **options):
        labels = np.array([[0], [1], [0], [1]])
        validation = Indifferent(labels, ["a"], StoppingConfig(evaluate_every=2))
        return fit_small(*arguments, build, loss, validation=validation, **options).state

    return run


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.fixture
def settings(train_config):
    return train_config.model_copy(update={"steps": 4, "ema_decay": 0.9})


@pytest.mark.slow
def test_resume_after_a_kill_is_exact(tmp_path, mesh_of, settings, records, run_training):
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


@pytest.mark.slow
def test_accumulated_parts_update_the_statistics_one_after_another(
    tmp_path, mesh_of, settings, records, run_training
):
    """As PyTorch does: a part is a batch to the norms."""
    halves = settings.model_copy(update={"accumulation": 2, "ema_decay": None, "steps": 1})
    state = run_training(tmp_path / "halves", mesh_of(1), halves, records)
    assert (state["statistics"]["batches"] == 2).all()
