"""EfficientNet on CPU as ratios against the same network in PyTorch, in one run.

python tests/benchmarks/efficientnet.py [variant] [batch] [runs]

Both sides alternate, so that whatever else the machine does hits both; medians are printed. Both
take the cores they are given (on a busy machine: `taskset -c 1`, and look at processor time).
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.torch_names import PORTS
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.training.processes.host_memory import keep_freed_memory
from deepecg_jax.training.state import parts_of, split_model

SAMPLES, LABELS = 2500, 77


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Duration of one call, and the processor time of all threads in it, s."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main(variant: str = "s_v2", batch: int = 32, runs: int = 7) -> None:
    """Print seconds and ratios of forward pass and train step (Adam)."""
    keep_freed_memory()  # for both sides
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = EfficientNetConfig.model_validate({"variant": variant})
    architecture = Architecture(config, HeadConfig(kind="linear"), LABELS)
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((batch, SAMPLES, 12)).astype(np.float32)
    target = (rng.random((batch, LABELS)) < 0.1).astype(np.float32)

    ours: dict[str, Callable[[], object]] = {}
    module: Any = architecture.build(jax.random.key(0))
    graph, variables = split_model(module)
    params, running = parts_of(module)
    names = {name: np.asarray(value, np.float32) for name, value in flatten(variables).items()}
    x, y = jnp.asarray(signal), jnp.asarray(target)
    forward = jax.jit(lambda variables, x: nnx.merge(graph, variables)(x))
    adam = optax.adam(1e-4)

    @partial(jax.jit, donate_argnums=(0, 1, 2))  # as in training
    def step(params: Any, running: Any, state: Any, key: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            model: Any = nnx.merge(graph, params, running)
            value = optax.sigmoid_binary_cross_entropy(model(x, key=key), y).mean()
            return value, parts_of(model)[1]

        (value, new), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), new, state, value

    carry = [params, running, adam.init(params)]

    def train() -> None:
        *carry[:], value = step(*carry, jax.random.key(0))
        jax.block_until_ready((carry, value))

    ours["forward"] = lambda: forward(variables, x).block_until_ready()
    ours["train step"] = train

    source: dict[str, Any] = {"__name__": "torch_model"}
    exec(PORTS["efficientnet"].template.read_text(), source)
    twin = source["build"](architecture.to_dict(), ["label"] * LABELS)
    state = torch_names.to_torch(names, torch_names.links_of(architecture))
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    inputs = torch.from_numpy(np.ascontiguousarray(signal.transpose(0, 2, 1)))
    targets = torch.from_numpy(target)
    optimizer = torch.optim.Adam(twin.parameters(), 1e-4)

    def torch_forward() -> None:
        twin.eval()
        with torch.no_grad():
            twin(inputs)

    def torch_train() -> None:
        twin.train()
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(twin(inputs), targets).backward()
        optimizer.step()

    theirs = {"forward": torch_forward, "train step": torch_train}
    print(f"{variant}, {batch} x {SAMPLES}, load average {os.getloadavg()[0]:.1f}")
    for name, run in ours.items():
        compiling = seconds(run)[0]
        seconds(run)
        for _ in range(2):
            theirs[name]()
        rows = [(*seconds(run), *seconds(theirs[name])) for _ in range(runs)]
        wall, cpu, torch_wall, torch_cpu = (
            statistics.median(column) for column in zip(*rows, strict=True)
        )
        print(
            f"{name}: {wall:.3f} s ({batch / wall:.1f} ECG/s), PyTorch {torch_wall:.3f} s: "
            f"{torch_wall / wall:.2f} times PyTorch; processor time {cpu:.2f} s, PyTorch "
            f"{torch_cpu:.2f} s: {torch_cpu / cpu:.2f} times; compiled in {compiling:.0f} s; load "
            f"average {os.getloadavg()[0]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:4]))
