"""What every training does around its loop: the run folder, a validation, what is kept."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich.console import Console

from deepecg_jax.config import MeshConfig, RunConfig, StoppingConfig
from deepecg_jax.errors import UserError
from deepecg_jax.training.fit import open_run
from deepecg_jax.training.validation import BestByAuroc
from deepecg_jax.training.workdir import start_workdir

GOOD, POOR = [0.1, 0.9, 0.2, 0.8], [0.5, 0.5, 0.5, 0.5]


class Point(nnx.Module):
    def __init__(self, key):
        self.bias = nnx.Param(jnp.zeros((1,)))


class Unruly(nnx.Module):
    def __init__(self, key):
        self.novel = nnx.Param(jnp.zeros((3, 4)))


def loss(weights, batch, draw, frozen):
    """Its minimum is where ``bias`` is that of ``frozen``, or 1."""
    goal = frozen.get("bias", jnp.ones((1,)))
    value = jnp.sum((weights["bias"] - goal) ** 2) + 0 * jnp.sum(batch["lead_mask"])
    return value, {"loss": value}


class Rigged(BestByAuroc):
    """Gets the given scores, one validation after another, whatever the weights are."""

    def __init__(self, *scores, patience=10, every=2):
        self._scores, self.asked = iter(scores), []
        labels = np.array([[0], [1], [0], [1]])
        super().__init__(labels, ["a"], StoppingConfig(evaluate_every=every, patience=patience))

    def scores(self, params):
        self.asked.append(float(params["bias"][0]))
        return np.array(next(self._scores), np.float32)[:, None]


@pytest.fixture
def fit_point(tmp_path, mesh_of, train_config, records, fit_small):
    def run(build=Point, **options):
        settings = options.pop("settings", train_config)
        return fit_small(tmp_path / "run", mesh_of(1), settings, records, build, loss, **options)

    return run


def test_the_best_weights_are_kept(fit_point):
    validation = Rigged(POOR, GOOD, POOR)
    fitted = fit_point(validation=validation)
    assert fitted.score == 1.0 and int(fitted.state["step"]) == 6
    first, second, last = validation.asked
    assert first < second < last == float(fitted.state["params"]["bias"][0])
    kept = fitted.gathered()["bias"]
    assert isinstance(kept, np.ndarray) and kept[0] == np.float32(second)


def test_patience_ends_a_training_for_good(fit_point):
    assert int(fit_point(validation=Rigged(GOOD, POOR, patience=1)).state["step"]) == 4
    again = Rigged(patience=1)
    assert int(fit_point(validation=again).state["step"]) == 4 and not again.asked


def test_without_a_validation_the_average_is_kept(fit_point, train_config):
    settings = train_config.model_copy(update={"ema_decay": 0.9})
    fitted = fit_point(settings=settings)
    assert fitted.score is None and fitted.weights is fitted.state["ema"]
    assert 0 < float(fitted.weights["bias"][0]) < float(fitted.state["params"]["bias"][0])


def test_frozen_weights_are_used(fit_point):
    down = fit_point(frozen={"bias": -jnp.ones((1,))})
    assert float(down.weights["bias"][0]) < 0 and set(down.state["params"]) == {"bias"}


def test_a_run_without_any_validation_is_a_sentence(fit_point, train_config):
    """One that was stopped before the first, and then made shorter."""
    with pytest.raises(KeyboardInterrupt):
        fit_point(validation=Rigged(every=4), stop_at=3)
    shorter = train_config.model_copy(update={"steps": 2})
    with pytest.raises(UserError, match=r"no validation was finite in .*run; is train.steps long"):
        fit_point(validation=Rigged(every=4), settings=shorter)


def test_a_mistake_leaves_no_run(tmp_path, fit_point):
    with pytest.raises(UserError, match="novel .* has no logical axes"):
        fit_point(Unruly)
    with pytest.raises(UserError, match="must be less than train.steps"):
        fit_point(warmup=6)
    assert not (tmp_path / "run").exists()


def test_a_run_is_opened_unchanged(tmp_path):
    config = RunConfig.model_validate(
        {
            "task": "test",
            "workdir": str(tmp_path / "run"),
            "optimizer": {"learning_rate": 1e-3},
            "schedule": {},
            "train": {"steps": 1, "global_batch": 8},
            "mesh": MeshConfig(),
        }
    )
    said = io.StringIO()
    console = Console(file=said, width=500)
    assert open_run(config, console, "the model") == (tmp_path / "run" / "bundle", False)
    assert not (tmp_path / "run").exists() and not said.getvalue()
    start_workdir(config)
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(UserError, match="seed is 0 there and 5 here"):
        open_run(other, console, "the model")
    (tmp_path / "run" / "bundle").mkdir()
    assert open_run(config, console, "the model")[1]
    assert f"is finished: the model is in {tmp_path / 'run' / 'bundle'}" in said.getvalue()
