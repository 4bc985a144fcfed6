"""WCR in JAX and in PyTorch, in one run on this machine: inference and a pretraining step.

python tests/benchmarks/wcr.py [--size small|medium|base]
"""

import argparse
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from torch_pretrainer import Pretrainer as TorchPretrainer

from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.encoder import WCREncoder
from deepecg_jax.objectives.kinds import objective_config
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.training.state import split_model

PLAIN = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "dropout_input": 0.0,
}
SIZES = {
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


def median(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of ``repeats`` calls after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print a table of ECG/s and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    config, train_batch, batch = SIZES[options.size]
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    ecgs = rng.normal(0, 300, (max(train_batch, batch), 2500, 12)).astype(np.int16)
    print(
        f"{options.size}: width {config.width}, {config.layers} layers, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )

    # ---- inference on whole ECGs ---------------------------------------------------------------
    encoder = WCREncoder(config, jax.random.key(0))
    graph, params = split_model(encoder)
    forward = jax.jit(lambda p, x: nnx.merge(graph, p)(x).tokens)
    signal = jnp.asarray(ecgs[:batch].astype(np.float32) * 1e-3)
    ours = median(lambda: jax.block_until_ready(forward(params, signal)), options.repeats)
    # the middle size has the heads of base
    sizes = {"codewords": 320, "final_dim": 256} if options.size == "medium" else {}
    objective = objective_config({"dropout_features": 0.0, **sizes}, config)
    peer = TorchPretrainer(config.model_dump(mode="json"), objective.model_dump(mode="json"))
    channels = torch.from_numpy(np.ascontiguousarray(np.asarray(signal).transpose(0, 2, 1)))

    def infer() -> None:
        with torch.inference_mode():
            peer.encoder(channels)

    theirs = median(infer, options.repeats)
    report("inference, 10 s ECGs", batch, ours, theirs)

    # ---- one pretraining step with AdamW -------------------------------------------------------
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
        "signal": jnp.asarray(ecgs[:train_batch]),
        "lead_mask": jnp.ones((train_batch, 12), bool),
        "patient": jnp.arange(train_batch),
    }

    def train_jax() -> None:
        held[:] = jitted(*held, data, jax.random.key(1))
        jax.block_until_ready(held[0])

    ours = median(train_jax, options.repeats)
    adam = torch.optim.AdamW(peer.parameters(), lr=1e-4)
    microvolts = torch.from_numpy(np.ascontiguousarray(ecgs[:train_batch].transpose(0, 2, 1)))
    patients = torch.arange(train_batch)

    def train_torch() -> None:
        halves = torch.cat((microvolts.float() * 1e-3).chunk(2, -1))
        adam.zero_grad()
        peer(halves, patients).backward()
        adam.step()

    theirs = median(train_torch, options.repeats)
    report("pretraining step", train_batch, ours, theirs)


def report(what: str, batch: int, ours: float, theirs: float) -> None:
    """One line of the table."""
    print(
        f"{what:22s} JAX {batch / ours:8.1f} ECG/s   PyTorch {batch / theirs:8.1f} ECG/s   "
        f"JAX is {theirs / ours:.2f} times as fast"
    )


if __name__ == "__main__":
    main()
