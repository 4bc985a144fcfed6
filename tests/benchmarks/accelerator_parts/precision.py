"""What fewer bits change: gradients on the device, and three steps against the CPU's."""

import functools
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from accelerator_parts.programs import (
    Trainer,
    compile_all,
    ecgs,
    ready,
    settings,
    trainer,
)
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.mesh import on_devices
from deepecg_jax.training.program import make_loss
from deepecg_jax.training.step import Pass, compute
from deepecg_jax.training.types import Array, Batch, State, Weights

STEPS = 3


def precision(size: Size, rows: Rows) -> Iterator[Row]:
    """Gradient of the first step in three precisions, each against float32 at its highest."""
    del rows
    own, count = trainer(size.config), size.float32_batch
    batch, state = own.batch(count), own.state()
    cases = {
        "float32, highest": ("float32", "highest"),
        "float32": ("float32", None),
        "bfloat16": ("bfloat16", None),
    }

    def lowered(dtype: str, product: str | None) -> jax.stages.Lowered:
        config = settings(size.config, count, train__compute_dtype=dtype)
        loss = make_loss(config, SignalContract().sampling_rate)

        def gradient(params: Weights, batch: Batch) -> Pass:
            draw: Draw[Weights] = Draw(jax.random.key(config.seed + 1), jnp.int32(0))
            return compute(loss, params, {}, batch, draw, {})

        with _products(product), jax.set_mesh(own.mesh):
            return jax.jit(gradient).lower(state["params"], batch)

    programs = compile_all({n: functools.partial(lowered, *case) for n, case in cases.items()})
    exact: list[Any] = []

    def measure(name: str) -> Row:
        compiled = ready(programs[name])
        run = functools.partial(compiled.program, state["params"], batch)
        row: Row = {"batch": count, **pace(run, jax.block_until_ready, size.calls)}
        done = jax.device_get(run())
        if not exact:  # the first case
            exact.append(done)
        differences = [
            (np.abs(a - b).max(), np.abs(b).max(), np.square(a - b).sum(), np.square(b).sum())
            for a, b in zip(
                jax.tree.leaves(done.gradients), jax.tree.leaves(exact[0].gradients), strict=True
            )
        ]
        worst, largest, square, norm = np.array(differences, np.float64).T
        return {
            **row,
            "loss": float(done.metrics["loss"]),
            "gradient_difference": float(worst.max()),
            "over_largest": float(worst.max() / largest.max()),
            "over_norm": float(np.sqrt(square.sum() / norm.sum())),
            **compiled.told,
        }

    for name in cases:
        yield tried(name, functools.partial(measure, name))


def agreement(size: Size, rows: Rows) -> Iterator[Row]:
    """Loss and gradient norm of three steps on the device and on the CPU from the same weights."""
    del rows
    file, count = size.small
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        on_cpu = Trainer(settings(file, count), cpu)
    own = Trainer(settings(file, count))
    own.start = on_cpu.start
    cases = {"float32, highest": ("float32", "highest"), "bfloat16": ("bfloat16", None)}

    def lowered(which: Trainer, dtype: str, product: str | None) -> jax.stages.Lowered:
        config = settings(file, count, train__compute_dtype=dtype)
        with _products(product), jax.default_device(cpu if which is on_cpu else None):
            return which.lowered(config)

    programs = compile_all(
        {
            f"{name} {i}": functools.partial(lowered, which, *case)
            for name, case in cases.items()
            for i, which in enumerate((own, on_cpu))
        }
    )

    @functools.cache
    def steps(name: str) -> list[list[dict[str, Array]]]:
        return [
            _steps(which, ready(programs[f"{name} {i}"]).program, count)
            for i, which in enumerate((own, on_cpu))
        ]

    def measure(name: str, number: int) -> Row:
        ours, cpus = steps(name)
        row: Row = {"batch": count}
        for key in ("loss", "grad_norm"):
            a, b = float(ours[number][key]), float(cpus[number][key])
            row |= {key: a, f"{key}_cpu": b, f"{key}_difference": abs(a - b) / abs(b)}
        return row

    for name in cases:
        for number in range(STEPS):
            yield tried(f"{name}, step {number}", functools.partial(measure, name, number))


def _steps(own: Trainer, program: Any, count: int) -> list[dict[str, Array]]:
    """Metrics of the first steps, on other ECGs each."""
    state: State = own.state()
    metrics = []
    for seed in range(STEPS):
        state, told = program(state, on_devices(ecgs(count, seed), own.mesh, count), {})
        metrics.append(jax.device_get(told))
    return metrics


def _products(precision: str | None) -> Any:
    return jax.default_matmul_precision(precision) if precision else nullcontext()
