"""The teacher: an averaged copy of a part of the weights, kept by the step, seen by the loss."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from deepecg_jax.models.dropout import dropout
from deepecg_jax.models.layers import Linear
from deepecg_jax.training.averages import Teacher, moved
from deepecg_jax.training.optimizer import Update
from deepecg_jax.training.state import make_state, overlay, shapes_of, split_model
from deepecg_jax.training.step import make_step


class Part(nnx.Module):
    """A large matrix and a running count and mean."""

    AXES: ClassVar = {"up_kernel": ("layers", "width", "hidden")}

    def __init__(self, key):
        self.up_kernel = nnx.Param(jax.random.normal(key, (1, 8, 16)))
        self.mean = nnx.BatchStat(jnp.zeros((16,)))
        self.seen = nnx.BatchStat(jnp.int32(0))


class Student(nnx.Module):
    """An encoder and a head."""

    def __init__(self, key):
        self.encoder = Part(key)
        self.projection = Linear.xavier(16, 4, jax.random.fold_in(key, 1))


GRAPH = split_model(shapes_of(Student))[0]


def encode(encoder, x):
    return x @ encoder["up_kernel"][0] + encoder["mean"]


def loss(weights, batch, draw, frozen):
    """The student predicts what the teacher makes of the same signals; dropout is the student's."""
    x = batch["signal"][:, :8, 0].astype(jnp.float32) / 300
    target = encode(draw.teacher, x)
    model = nnx.merge(GRAPH, weights)
    tokens = encode(weights["encoder"], dropout(x, 0.5, draw.key))
    value = jnp.mean((tokens - target) ** 2) + jnp.mean(model.projection(tokens) ** 2)
    mean = 0.9 * weights["encoder"]["mean"] + 0.1 * tokens.mean(0)
    statistics = {"encoder": {"mean": mean, "seen": weights["encoder"]["seen"] + 1}}
    return value, {"loss": value, "seen": jnp.sum(target), "statistics": statistics}


def complete(state):
    return jax.device_get(overlay(state["params"], state["statistics"])["encoder"])


def test_what_does_not_change_does_not_drift():
    """Constants of a model, a kind of statistics, are averaged to themselves, to the bit."""
    constants = {"log_step": jnp.log(jnp.linspace(1e-3, 1e-1, 64))}
    followed, share = constants, jnp.float32(4e-4)
    follow = jax.jit(moved)
    for _ in range(50):
        followed = follow(followed, constants, share)
    np.testing.assert_array_equal(followed["log_step"], constants["log_step"])
    half = moved({"x": jnp.float32(1)}, {"x": jnp.float32(3)}, jnp.float32(0.5))
    assert float(half["x"]) == 2.0


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_shares(kind):
    teacher = Teacher(0.9, 1.0, 10, kind)
    shares = [float(teacher.share(jnp.int32(t))) for t in (0, 5, 10, 12)]
    np.testing.assert_allclose(shares, [0.1, 0.05, 0, 0], atol=1e-7)
    quarter = float(teacher.share(jnp.int32(2)))
    way = 0.2 if kind == "linear" else (1 - np.cos(0.2 * np.pi)) / 2
    assert quarter == pytest.approx(0.1 * (1 - way))
    assert float(Teacher(0.99, 0.99, 3).share(jnp.int32(2))) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="decays are from 0 to 1"):
        Teacher(1.1, 1.0, 10)
    with pytest.raises(ValueError, match="no 'trunk' to average among encoder"):
        Teacher(0.9, 1.0, 10, part="trunk").of({"encoder": {}})


@pytest.mark.parametrize("parts", [1, 2])
def test_it_follows_the_weights_and_waits_within_an_update(mesh_of, records, parts):
    teacher = Teacher(0.5, 1.0, 4, "cosine")
    update = Update(optax.sgd(1e-2), optax.constant_schedule(1e-2), parts, teacher=teacher)
    mesh = mesh_of(1)
    batch = {"signal": np.stack([records[i]["signal"] for i in range(8)])}
    x = batch["signal"][:, :8, 0].astype(np.float32) / 300
    with jax.set_mesh(mesh):
        state, shardings = make_state(Student, update, mesh, jax.random.key(0))
        step = make_step(loss, update, shardings, 0)
        expected = complete(state)
        for number in range(4):
            jax.tree.map(np.testing.assert_array_equal, jax.device_get(state["teacher"]), expected)
            # the loss saw this teacher, in every part of the batch
            seen = float(np.sum(encode(expected, x))) / parts
            state, metrics = step(state, batch)
            np.testing.assert_allclose(float(metrics["seen"]), seen, rtol=1e-4)
            share = np.float32(0.5 * (1 - (1 - np.cos(np.pi * number / 4)) / 2))
            now = complete(state)
            for name in ("up_kernel", "mean"):
                expected[name] = share * now[name] + (1 - share) * expected[name]
                np.testing.assert_allclose(
                    state["teacher"][name], expected[name], rtol=1e-5, atol=1e-6
                )
            assert state["teacher"]["seen"] == now["seen"] == (number + 1) * parts
            expected = jax.device_get(state["teacher"])


def test_it_begins_as_a_copy_in_float32_of_what_training_starts_from(mesh_of):
    update = Update(optax.sgd(0.1), optax.constant_schedule(0.1), teacher=Teacher(0.9, 1.0, 4))
    start = {"encoder": {"up_kernel": jnp.full((1, 8, 16), 2, jnp.bfloat16)}}
    mesh = mesh_of(1)
    with jax.set_mesh(mesh):
        state, _ = make_state(Student, update, mesh, jax.random.key(0), start)
    assert set(state["teacher"]) == {"up_kernel", "mean", "seen"}
    kernel = state["teacher"]["up_kernel"]
    assert kernel.dtype == jnp.float32 and (kernel == 2).all()


def test_no_gradient_reaches_it(mesh_of, records):
    """Whatever a loss does with it, only the average moves it, and only the weights are trained."""

    def from_teacher(weights, batch, draw, frozen):
        value = jnp.sum(draw.teacher["up_kernel"] ** 2) + 0 * jnp.sum(batch["signal"])
        return value, {"loss": value}

    update = Update(optax.sgd(0.1), optax.constant_schedule(0.1), teacher=Teacher(0.9, 1.0, 4))
    mesh = mesh_of(1)
    with jax.set_mesh(mesh):
        state, shardings = make_state(Student, update, mesh, jax.random.key(0))
        before = jax.device_get(state["params"])
        step = make_step(from_teacher, update, shardings, 0)
        state, metrics = step(state, {"signal": np.zeros((8, 1), np.int16)})
    assert float(metrics["loss"]) > 0 and float(metrics["grad_norm"]) == 0
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state["params"]), before)
    kernel = before["encoder"]["up_kernel"]
    np.testing.assert_allclose(state["teacher"]["up_kernel"], kernel, rtol=1e-6)
    # the optimizer keeps nothing for it: moments are those of the parameters
    moments = jax.eval_shape(optax.adam(0.1).init, state["params"])
    assert len(jax.tree.leaves(moments)) == 2 * len(jax.tree.leaves(state["params"])) + 1


def test_it_resumes_to_the_bit(tmp_path, mesh_of, train_config, records, fit_small):
    mesh = mesh_of(1)
    options = {"teacher": Teacher(0.8, 1.0, train_config.steps)}
    whole = fit_small(tmp_path / "whole", mesh, train_config, records, Student, loss, **options)
    for stop in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            fit_small(
                tmp_path / "cut",
                mesh,
                train_config,
                records,
                Student,
                loss,
                stop_at=stop,
                **options,
            )
    resumed = fit_small(tmp_path / "cut", mesh, train_config, records, Student, loss, **options)
    assert "teacher" in whole.state
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(whole.state), jax.device_get(resumed.state)
    )
    student, teacher = complete(whole.state), whole.state["teacher"]
    assert np.abs(student["up_kernel"] - teacher["up_kernel"]).max() > 1e-3


def test_it_is_spread_as_its_parameters(tmp_path, mesh_of, train_config, records, fit_small):
    options = {"teacher": Teacher(0.8, 1.0, train_config.steps)}
    states = [
        fit_small(tmp_path / str(i), mesh, train_config, records, Student, loss, **options).state
        for i, mesh in enumerate([mesh_of(1), mesh_of(8, data=2, fsdp=2, tensor=2)])
    ]
    one, eight = (state["teacher"]["up_kernel"] for state in states)
    assert eight.sharding.spec == P(None, "fsdp", "tensor")
    assert eight.sharding == states[1]["params"]["encoder"]["up_kernel"].sharding
    assert eight.addressable_shards[0].data.shape == (1, 4, 8)
    np.testing.assert_allclose(one, eight, atol=1e-5)


def test_without_one_the_state_is_as_before(mesh_of):
    update = Update(optax.sgd(0.1), optax.constant_schedule(0.1))
    mesh = mesh_of(1)
    with jax.set_mesh(mesh):
        state, shardings = make_state(Student, update, mesh, jax.random.key(0))
    assert set(state) == set(shardings) == {"step", "params", "opt_state", "statistics"}
