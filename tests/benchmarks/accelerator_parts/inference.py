"""Logits of a classifier on whole ECGs."""

import functools
from collections.abc import Iterator
from contextlib import nullcontext

import jax
import jax.numpy as jnp
from flax import nnx

from accelerator_parts.programs import SAMPLES, compile_all, ecgs, ready, settings
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.wcr.flops import forward_flops
from deepecg_jax.models.wcr.shape import WCRShape

LABELS = 77


def architecture_of(config: EncoderConfig) -> Architecture:
    """The encoder with a linear head."""
    return Architecture(config, HeadConfig(kind="linear"), LABELS)


def inference(size: Size, rows: Rows) -> Iterator[Row]:
    """In full float32 (as `deepecg predict`), with the device's own float32, and in bfloat16."""
    config = settings(size.config, 1).model
    module = architecture_of(config).build(jax.random.key(0))
    graph, state = nnx.split(module)
    millivolts = jnp.asarray(ecgs(size.inference)["signal"]) * jnp.float32(1e-3)
    run = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    cases = {
        "bfloat16": (millivolts.astype(jnp.bfloat16), None),
        "float32": (millivolts, None),
        "float32, highest": (millivolts, "highest"),
    }

    def trace(x: jax.Array, precision: str | None) -> jax.stages.Lowered:
        with jax.default_matmul_precision(precision) if precision else nullcontext():
            return run.lower(state, x)

    programs = compile_all({n: functools.partial(trace, *case) for n, case in cases.items()})
    peak = rows.value("device", "peak_tflops")

    def measure(name: str) -> Row:
        compiled, x = ready(programs[name]), cases[name][0]
        timed = pace(lambda: compiled.program(state, x), jax.block_until_ready, size.calls)
        row: Row = {"batch": len(x), **timed, "ecg_per_s": 1e3 * len(x) / timed["ms"]}
        if isinstance(config, WCRShape):
            rate = sum(forward_flops(config, SAMPLES, len(x)).values()) / timed["ms"] / 1e9
            row |= {"tflops": rate, "mfu": rate / peak if peak else None}
        return {**row, **compiled.told}

    for name in cases:
        yield tried(name, functools.partial(measure, name))
