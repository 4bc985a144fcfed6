"""WCR in JAX and in PyTorch, in one run on this machine: inference and a pretraining step.

    python tests/benchmarks/wcr.py [--size small medium base] [--repeats 5]

Each figure is of a process of its own, so that its peak memory is its own. ``share`` is the rate
of the encoder's matrix products over that of a 4096 x 4096 float32 product of the same library.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.flops import forward_flops
from deepecg_jax.objectives.kinds import objective_config

PLAIN = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "dropout_input": 0.0,
}
SIZES = {  # name -> the encoder, ECGs of a step, ECGs of inference
    "small": (WCRConfig(size="small", **PLAIN), 24, 32),
    # the middle row of the published timings: 256 wide, 4 layers
    "medium": (
        WCRConfig(
            size="small",
            conv_layers=[(256, 2, 2)] * 4,
            width=256,
            ffn_width=1024,
            positional_kernel=128,
            positional_groups=16,
            **PLAIN,
        ),
        32,
        32,
    ),
    "base": (WCRConfig(size="base", **PLAIN), 8, 16),
}
SAMPLES = 2500
PRODUCT = 4096


def median(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of ``repeats`` calls after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def ecgs(count: int) -> np.ndarray:
    """Noise, int16 microvolts, (count, samples, leads)."""
    return np.random.default_rng(0).normal(0, 300, (count, SAMPLES, 12)).astype(np.int16)


def objective_of(size: str) -> Any:
    """The WCR objective; the middle size has the heads of base."""
    sizes = {"codewords": 320, "final_dim": 256} if size == "medium" else {}
    return objective_config({"dropout_features": 0.0, **sizes}, SIZES[size][0])


def product_jax(size: str) -> Callable[[], object]:
    """A square product."""
    import jax
    import jax.numpy as jnp

    square = jnp.ones((PRODUCT, PRODUCT))
    multiply = jax.jit(lambda x: x @ x)
    return lambda: jax.block_until_ready(multiply(square))


def inference_jax(size: str) -> Callable[[], object]:
    """Tokens of whole ECGs."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from deepecg_jax.models.wcr.encoder import WCREncoder
    from deepecg_jax.training.state import split_model

    config, _, batch = SIZES[size]
    graph, params = split_model(WCREncoder(config, jax.random.key(0)))
    forward = jax.jit(lambda p, x: nnx.merge(graph, p)(x).tokens)
    signal = jnp.asarray(ecgs(batch).astype(np.float32) * 1e-3)
    return lambda: jax.block_until_ready(forward(params, signal))


def step_jax(size: str) -> Callable[[], object]:
    """One pretraining step with AdamW."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    from deepecg_jax.objectives.objective import Draw
    from deepecg_jax.objectives.pretrainer import Pretrainer
    from deepecg_jax.training.state import split_model

    config, count, _ = SIZES[size]
    objective = objective_of(size)
    pretrainer, state = split_model(Pretrainer(config, objective, jax.random.key(0)))
    optimizer = optax.adamw(1e-4)

    def step(params, moments, batch, key):
        def loss(params):
            model = nnx.merge(pretrainer, params)
            draw = Draw(key, jnp.int32(0))
            return objective.loss(model.encoder, model.heads, batch, draw, jnp.float32)[0]

        updates, moments = optimizer.update(jax.grad(loss)(params), moments, params)
        return optax.apply_updates(params, updates), moments

    jitted = jax.jit(step, donate_argnums=(0, 1))
    held = [state, optimizer.init(state)]
    data = {
        "signal": jnp.asarray(ecgs(count)),
        "lead_mask": jnp.ones((count, 12), bool),
        "patient": jnp.arange(count),
    }

    def train() -> None:
        held[:] = jitted(*held, data, jax.random.key(1))
        jax.block_until_ready(held[0])

    return train


def product_torch(size: str) -> Callable[[], object]:
    """A square product."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    square = torch.ones(PRODUCT, PRODUCT)
    return lambda: square @ square


def _peer(size: str) -> Any:
    import torch
    from torch_pretrainer import Pretrainer

    torch.set_num_threads(os.cpu_count() or 1)
    config, objective = SIZES[size][0], objective_of(size)
    return Pretrainer(config.model_dump(mode="json"), objective.model_dump(mode="json"))


def inference_torch(size: str) -> Callable[[], object]:
    """The same tokens."""
    import torch

    encoder = _peer(size).encoder
    signal = ecgs(SIZES[size][2]).astype(np.float32).transpose(0, 2, 1) * np.float32(1e-3)
    channels = torch.from_numpy(np.ascontiguousarray(signal))

    def infer() -> None:
        with torch.inference_mode():
            encoder(channels)

    return infer


def step_torch(size: str) -> Callable[[], object]:
    """The same step."""
    import torch

    peer, count = _peer(size), SIZES[size][1]
    adam = torch.optim.AdamW(peer.parameters(), lr=1e-4)
    microvolts = torch.from_numpy(np.ascontiguousarray(ecgs(count).transpose(0, 2, 1)))
    patients = torch.arange(count)

    def train() -> None:
        halves = torch.cat((microvolts.float() * 1e-3).chunk(2, -1))
        adam.zero_grad()
        peer(halves, patients).backward()
        adam.step()

    return train


PARTS = {
    f"{what} {library}": part
    for what, pair in {
        "product": (product_jax, product_torch),
        "inference": (inference_jax, inference_torch),
        "step": (step_jax, step_torch),
    }.items()
    for library, part in zip(("JAX", "PyTorch"), pair, strict=True)
}


def gflop(what: str, size: str) -> float:
    """Of one call; a step is three times its forward pass on two halves of each ECG."""
    config, count, batch = SIZES[size]
    if what == "product":
        return 2 * PRODUCT**3 / 1e9
    if what == "inference":
        return sum(forward_flops(config, SAMPLES, batch).values()) / 1e9
    return 3 * sum(forward_flops(config, SAMPLES // 2, 2 * count).values()) / 1e9


def measured(part: str, size: str, repeats: int) -> dict[str, float]:
    """Seconds and peak memory of a part, in a process of its own."""
    command = [sys.executable, __file__, "--size", size, "--repeats", str(repeats)]
    done = subprocess.run([*command, "--part", part], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, nargs="+", default=["small"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        seconds = median(PARTS[options.part](options.size[0]), options.repeats)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "gib": peak}))
        return
    for size in options.size:
        print(f"{size}: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print("| | library | ECG/s | GFLOP/s | share | peak GiB | JAX over PyTorch |")
        print("|---|---|---|---|---|---|---|")
        table(size, options.repeats)


def table(size: str, repeats: int) -> None:
    """Rows of one size."""
    _, count, batch = SIZES[size]
    product: dict[str, float] = {}
    for what, number in (("product", None), ("inference", batch), ("step", count)):
        found = {}
        for library in ("JAX", "PyTorch"):
            found[library] = measured(f"{what} {library}", size, repeats)
        for library, row in found.items():
            rate = gflop(what, size) / row["seconds"]
            product.setdefault(library, rate)
            speed = f"{number / row['seconds']:.2f}" if number else ""
            ratio = found["PyTorch"]["seconds"] / found["JAX"]["seconds"]
            print(
                f"| {what} | {library} | {speed} | {rate:.0f} | {rate / product[library]:.2f} "
                f"| {row['gib']:.2f} | {f'{ratio:.2f}' if library == 'JAX' else ''} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
