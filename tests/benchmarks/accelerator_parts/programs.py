"""The shipped train step, compiled ahead of time for one device, and ECGs to feed it."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

from accelerator_parts.rows import Row, tried
from accelerator_parts.timing import pace
from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.models import execution
from deepecg_jax.models.wcr.flops import forward_flops
from deepecg_jax.models.wcr.shape import WCRShape
from deepecg_jax.training.mesh import make_mesh, on_devices
from deepecg_jax.training.optimizer import make_update
from deepecg_jax.training.program import build, pretraining_program
from deepecg_jax.training.state import make_state
from deepecg_jax.training.types import (
    Array,
    Batch,
    HostBatch,
    State,
)

SAMPLES, LEADS = 2500, 12
AT_ONCE = 6  # programs that are compiled side by side


def ecgs(count: int, seed: int = 0) -> HostBatch:
    """Noise in place of ECGs, int16 microvolts as stored, each of another patient."""
    rng = np.random.default_rng(seed)
    return {
        "signal": rng.normal(0, 300, (count, SAMPLES, LEADS)).astype(np.int16),
        "lead_mask": np.ones((count, LEADS), bool),
        "patient": np.arange(count, dtype=np.int32),
    }


def settings(file: str, batch: int, **overrides: Any) -> PretrainConfig:
    """A shipped config with another batch; ``model__remat`` stands for ``model.remat``."""
    given = {"train.global_batch": batch, **overrides}
    texts = [f"{key.replace('__', '.')}={value}" for key, value in given.items()]
    return load_config(PretrainConfig, file, texts)


@contextmanager
def layout(folded: bool) -> Iterator[None]:
    """Programs traced meanwhile fold the leading axes of a product, or do not, on any platform."""
    before = dict(execution.PLATFORMS)
    try:
        for name, suits in before.items():
            execution.PLATFORMS[name] = suits._replace(folded=folded)
        yield
    finally:
        execution.PLATFORMS.update(before)


def step_flops(config: PretrainConfig) -> float | None:
    """Operations of the encoder's products in one step, forward and backward, recomputing left out.

    Three times the forward pass on the two halves of each ECG; the objective's own products (some
    per cent) are not counted. None for a family whose count does not know of a batch.
    """
    if not isinstance(config.model, WCRShape):
        return None
    parts = forward_flops(config.model, SAMPLES // 2, 2 * config.train.global_batch)
    return 3.0 * sum(parts.values())


class Trainer:
    """A shipped config on one device: the state it begins with, and its train step.

    The state is kept on the host, since a step gives the memory of its state away.
    """

    def __init__(self, config: PretrainConfig, on: Any | None = None):
        self.config = config
        self.mesh = make_mesh(config.mesh, [on or jax.devices()[0]])
        self.update = make_update(config, config.compat)
        with jax.set_mesh(self.mesh):
            key = jax.random.key(config.seed)
            state, self.shardings = make_state(
                lambda key: build(config, key), self.update, self.mesh, key
            )
        self.start: State = jax.tree.map(np.array, state)

    def state(self) -> State:
        """The state at the start, anew on the device."""
        return jax.device_put(jax.tree.map(np.copy, self.start), self.shardings)

    def batch(self, count: int) -> Batch:
        """ECGs on the device."""
        return on_devices(ecgs(count), self.mesh, count)

    def lowered(self, config: PretrainConfig) -> jax.stages.Lowered:
        """The step of a config of the same weights, traced for the device."""
        return pretraining_program(config, self.mesh).lowered(self.mesh)


@functools.cache
def trainer(file: str) -> Trainer:
    """The trainer of a shipped config on the first device, once a process."""
    return Trainer(settings(file, 1))


class Compiled(NamedTuple):
    """A program and the seconds its compiling took, beside ``beside`` others."""

    program: jax.stages.Compiled
    seconds: float
    beside: int

    @property
    def told(self) -> Row:
        """As columns of a row: seconds, and XLA's plan of the memory."""
        row: Row = {"compile_s": self.seconds, "compiled_beside": self.beside}
        plan = self.program.memory_analysis()
        if plan is not None:
            held = plan.argument_size_in_bytes + plan.temp_size_in_bytes
            held += plan.output_size_in_bytes - plan.alias_size_in_bytes
            row |= {"plan_gib": held / 2**30}
        return row


def compile_all(lower: Mapping[str, Callable[[], jax.stages.Lowered]]) -> dict[str, Any]:
    """Trace one after another, compile side by side; an error stands in place of a `Compiled`."""

    def compiled(lowered: jax.stages.Lowered) -> Compiled:
        start = time.perf_counter()
        program = lowered.compile()
        return Compiled(program, time.perf_counter() - start, min(len(lower), AT_ONCE) - 1)

    results: dict[str, Any] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {}
        for name, trace in lower.items():
            try:
                running[name] = pool.submit(compiled, trace())
            except Exception as error:
                results[name] = error
        for name, future in running.items():
            results[name] = future.exception() or future.result()
    return results


def ready(result: Any) -> Compiled:
    """A compiled program, or the error it ended with."""
    if isinstance(result, BaseException):
        raise result
    return result


def measured_step(own: Trainer, config: PretrainConfig, result: Any, calls: int) -> Row:
    """Time, rate and memory of a compiled train step that trains on one batch again and again."""
    compiled, count = ready(result), config.train.global_batch
    held, batch = [own.state()], own.batch(config.train.global_batch)

    def step() -> dict[str, Array]:
        held[0], metrics = compiled.program(held[0], batch, {})
        return metrics

    timed = pace(step, jax.block_until_ready, calls)
    row: Row = {"batch": count, **timed, "ecg_per_s": 1e3 * count / timed["ms"]}
    flops = step_flops(config)
    if flops is not None:
        row |= {"tflops": flops / timed["ms"] / 1e9}
    # of the process so far, so it counts where it rises
    peak = (next(iter(own.mesh.devices.flat)).memory_stats() or {}).get("peak_bytes_in_use")
    row |= {**compiled.told, "peak_gib": None if peak is None else peak / 2**30}
    return row | {"loss": float(step()["loss"])}


def measured_steps(
    own: Trainer, configs: Mapping[str, PretrainConfig], calls: int, rate: float | None
) -> Any:
    """A row for each config, compiled side by side, measured one after another."""
    tracing = {name: functools.partial(own.lowered, c) for name, c in configs.items()}
    programs = compile_all(tracing)
    for name, config in configs.items():
        result = programs.pop(name)
        measure = functools.partial(measured_step, own, config, result, calls)
        yield with_share(tried(name, measure), rate)
        del result, measure


def with_share(row: Row, rate: float | None) -> Row:
    """``mfu``: operations a second over those of a large bfloat16 product on the same device."""
    return {**row, "mfu": row["tflops"] / rate} if rate and "tflops" in row else row
