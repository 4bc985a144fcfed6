"""How long a training might take where nothing like it has run: a guess, and called one."""

import time
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.models.blocks.layers import as_dtype
from deepecg_jax.plan.flops import FORWARD_AND_BACKWARD, step_flops
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.sweep.planning.jobs import Job

Guess = Callable[[Job], float | None]
"""A job -> seconds, or None where there is no guess."""
SOURCE = (
    "a guess from the number of operations and the speed of a matrix product here; encoders made "
    "of convolutions may take several times as long"
)
# of the speed of a large product: WCR reaches 0.25 to 0.35 on two CPU cores, 0.29 on an H100
_UTILISATION = 0.3


def guess_here(job: Job) -> float | None:
    """Seconds of a job on this machine's devices; None where its operations are not counted.

    A linear probe encodes its records only once, and takes no time beside what trains encoders.
    """
    config = job.config
    steps = config.train.steps
    if isinstance(config, PretrainConfig):
        counted = step_flops(config, SignalContract())
        flops = None if counted is None else sum(counted.values())
    else:
        flops = _finetuning_flops(config)
    if flops is None:
        return None
    return steps * flops / (_UTILISATION * _product_speed(config.train.compute_dtype))


def _finetuning_flops(config: FinetuneConfig) -> float | None:
    """Operations of a step."""
    if config.mode == "linear":
        return 0.0
    if config.model is None:
        return None
    counted = config.model.flops(SignalContract().n_samples, config.train.global_batch)
    if counted is None:
        return None
    return (FORWARD_AND_BACKWARD if config.mode == "full" else 1.0) * sum(counted.values())


@cache
def _product_speed(dtype: str) -> float:
    """Operations a second of a matrix product, over all devices."""
    size = 1024 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((size, size), as_dtype(dtype))
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    start = time.perf_counter()
    for _ in range(4):
        result = product(matrix, matrix)
    result.block_until_ready()
    seconds = (time.perf_counter() - start) / 4
    return jax.device_count() * 2.0 * size**3 / seconds
