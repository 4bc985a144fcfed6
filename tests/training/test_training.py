"""The same seed gives the same run on any mesh, in parts, and after a kill."""

import json

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from deepecg_jax.config import MeshConfig
from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.training.mesh import make_mesh, require_divisible
from deepecg_jax.training.metrics_log import read_metrics
from deepecg_jax.training.optimizer import Update
from deepecg_jax.training.state import overlay, shapes_of, split_model
from deepecg_jax.training.step import make_step


@pytest.fixture(scope="module")
def run_training(fit_small, model_config, records):
    """Pretrain the small model; the state after it."""
    objective = WCRObjectiveConfig(negatives=10, mask_span=3, codewords=8, final_dim=8)

    def build(key):
        return Pretrainer(model_config, objective, key)

    graphdef = split_model(shapes_of(build))[0]

    def loss(weights, batch, draw, frozen):
        model = nnx.merge(graphdef, weights)
        return objective.loss(model.encoder, model.heads, batch, draw, np.float32)

    def run(workdir, mesh, settings, data=records, **options):
        return fit_small(workdir, mesh, settings, data, build, loss, warmup=2, **options).state

    return run


@pytest.fixture(scope="module")
def alone(run_training, mesh_of, train_config, tmp_path_factory):
    """The run of one device: its folder and its last state, on the host."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    return workdir, jax.device_get(run_training(workdir, mesh_of(1), train_config))


def losses(workdir):
    return np.array([row["loss"] for row in read_metrics(workdir / "metrics.jsonl")])


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.mark.slow
def test_loss_curve_is_the_same_on_one_and_eight_devices(
    tmp_path, mesh_of, train_config, run_training, alone
):
    mesh = mesh_of(8, data=2, fsdp=2, tensor=2)
    state = run_training(tmp_path / "eight", mesh, train_config)
    one, eight = losses(alone[0]), losses(tmp_path / "eight")
    assert len(one) == 6 and one.std() > 0
    np.testing.assert_allclose(one, eight, rtol=2e-5)
    # parameters and Adam's moments really are spread
    kernel = state["params"]["encoder"]["transformer"]["up_kernel"]
    moment = state["opt_state"][1].mu["encoder"]["transformer"]["up_kernel"]
    assert kernel.sharding.spec == moment.sharding.spec == P(None, "fsdp", "tensor")


@pytest.mark.slow
def test_resume_after_a_kill_is_exact(tmp_path, mesh_of, train_config, run_training):
    settings = train_config.model_copy(update={"ema_decay": 0.9})
    mesh = mesh_of(1)
    whole = run_training(tmp_path / "whole", mesh, settings)
    for stop in (1, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            run_training(tmp_path / "killed", mesh, settings, stop_at=stop)
    resumed = run_training(tmp_path / "killed", mesh, settings)
    assert_equal(whole, resumed)
    np.testing.assert_array_equal(losses(tmp_path / "whole"), losses(tmp_path / "killed"))


@pytest.mark.slow
def test_resume_on_another_mesh(tmp_path, mesh_of, train_config, run_training, alone):
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "b", mesh_of(4, fsdp=2), train_config, stop_at=4)
    moved = run_training(tmp_path / "b", mesh_of(8), train_config)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=2e-4),
        alone[1]["params"],
        jax.device_get(moved["params"]),
    )


@pytest.mark.slow
def test_a_signal_saves_and_stops(tmp_path, mesh_of, train_config, run_training, records):
    import os
    import signal

    sent = []

    class Interrupting:
        def __len__(self):
            return len(records)

        def __getitem__(self, index):
            if not sent:  # a second signal would end this process, as a user who repeats it wants
                sent.append(index)
                os.kill(os.getpid(), signal.SIGTERM)
            return records[index]

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedBySignal, match="stopped by SIGTERM at step 1"):
        run_training(tmp_path / "s", mesh_of(1), train_config, Interrupting())
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = run_training(tmp_path / "s", mesh_of(1), train_config)
    assert int(resumed["step"]) == 6


@pytest.mark.slow
def test_divergence_is_a_sentence_and_keeps_the_last_checkpoint(
    tmp_path, mesh_of, train_config, run_training, records
):
    bad = records.arrays["signal"].astype(np.float32)
    bad[5] = np.nan
    broken = type(records)({**records.arrays, "signal": bad})
    with pytest.raises(UserError, match="the loss is nan at step"):
        run_training(tmp_path / "n", mesh_of(1), train_config, broken)


@pytest.mark.slow
def test_another_seed_in_the_same_workdir_is_refused(tmp_path, mesh_of, train_config, run_training):
    run_training(tmp_path / "w", mesh_of(1), train_config)
    with pytest.raises(UserError, match="another seed"):
        run_training(tmp_path / "w", mesh_of(1), train_config, seed=1)


@pytest.mark.slow
def test_metrics_lines_carry_what_scripts_read(tmp_path, mesh_of, train_config, run_training):
    run_training(tmp_path / "w", mesh_of(1), train_config)
    line = json.loads((tmp_path / "w" / "metrics.jsonl").read_text().splitlines()[-1])
    expected = {
        "step",
        "loss",
        "contrastive",
        "cmsc",
        "grad_norm",
        "learning_rate",
        "ecg_per_s",
        "input_wait_fraction",
    }
    assert expected <= set(line) and line["step"] == 6


def test_accumulation_averages_the_parts(mesh_of):
    """For a loss that is a mean over records, parts give the gradient of the whole."""
    mesh = mesh_of(2)
    optimizer = optax.sgd(1.0)

    def loss(params, batch, draw, frozen):
        value = ((batch["x"] * params["w"] - 1.0) ** 2).mean()
        return value, {"loss": value}

    x = np.linspace(-1, 2, 8, dtype=np.float32)
    results = []
    for parts in (1, 2, 4):
        with jax.set_mesh(mesh):
            state = {"step": np.int32(0), "params": {"w": np.float32(0.3)}, "opt_state": ()}
            state["opt_state"] = optimizer.init(state["params"])
            shardings = jax.tree.map(lambda _: jax.sharding.NamedSharding(mesh, P()), state)
            update = Update(optimizer, optax.constant_schedule(1.0), parts)
            step = make_step(loss, update, shardings, 0)
            new, _ = step(jax.device_put(state, shardings), {"x": x})
            results.append(float(new["params"]["w"]))
    expected = 0.3 - np.mean(2 * (x * 0.3 - 1) * x)
    np.testing.assert_allclose(results, expected, rtol=1e-5)


def test_mesh_errors_name_the_numbers():
    with pytest.raises(UserError, match="needs 3 devices, but there are 8"):
        make_mesh(MeshConfig(data=3), jax.devices())
    with pytest.raises(UserError, match="-1 .* may stand once"):
        make_mesh(MeshConfig(data=-1, fsdp=-1), jax.devices())
    mesh = make_mesh(MeshConfig(), jax.devices())
    with pytest.raises(UserError, match="train.global_batch=12 .* choose 8 or 16"):
        require_divisible(12, 1, mesh)


def test_overlay_replaces_only_what_is_given():
    merged = overlay({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}})
    assert merged == {"a": {"x": 1, "y": 5}, "b": 3}
