"""The positional convolution: the product's Fourier form against XLA's grouped convolution."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from accelerator_parts.programs import compile_all, ready
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace
from deepecg_jax.models.wcr.positional import grouped_convolution

Array = jax.Array


def positional(size: Size, rows: Rows) -> Iterator[Row]:
    """Forward, and forward with backward, in bfloat16; error against the other in float32."""
    del rows
    width, taps, groups = size.heads * size.head_width, size.taps, size.groups
    keys = jax.random.split(jax.random.key(0), 3)
    x, weight = (
        jax.random.normal(key, (size.rows, size.tokens[0], width), jnp.bfloat16) for key in keys[:2]
    )
    kernel = jax.random.normal(keys[2], (taps, width // groups, width), jnp.bfloat16) / taps

    def direct(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1,),
            [(taps // 2, taps - 1 - taps // 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
        )

    def fourier(x: Array, kernel: Array) -> Array:
        return grouped_convolution(x, kernel, groups)

    functions = {}
    for name, function in (("product (Fourier)", fourier), ("convolution", direct)):

        def scalar(x: Array, kernel: Array, function=function) -> Array:
            return jnp.sum((function(x, kernel) * weight).astype(jnp.float32))

        functions[f"{name}, forward"] = function
        functions[f"{name}, forward + backward"] = jax.grad(scalar, (0, 1))
    programs = compile_all(
        {n: lambda f=f: jax.jit(f).lower(x, kernel) for n, f in functions.items()}
    )

    def measure(name: str) -> Row:
        compiled = ready(programs[name])
        run = functools.partial(compiled.program, x, kernel)
        return {**pace(run, jax.block_until_ready, 2 * size.calls), **compiled.told}

    for name in functions:
        yield tried(name, functools.partial(measure, name))

    def agree() -> Row:
        few = x[:4].astype(jnp.float32), kernel.astype(jnp.float32)
        with jax.default_matmul_precision("highest"):
            ours, theirs = jax.jit(fourier)(*few), jax.jit(direct)(*few)
        return {"relative_error": float(jnp.max(jnp.abs(ours - theirs)) / jnp.max(jnp.abs(theirs)))}

    yield tried("both in float32, highest", agree)
