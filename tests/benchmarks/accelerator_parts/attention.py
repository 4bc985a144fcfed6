"""Self-attention alone, by implementation: time, error, and whether a fused kernel is used."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from accelerator_parts.programs import compile_all, layout, ready
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace
from deepecg_jax.models.blocks.attention import self_attention
from deepecg_jax.models.blocks.attention_cores import CORES as OWN

Array = jax.Array
Core = Callable[[Array, Array, Array], Array]  # each (B, N, heads, d)
FUSED = "__cudnn$fmha"


def own_core(q: Array, k: Array, v: Array, name: str = "xla", rate: float = 0.0) -> Array:
    """A core of the product, which takes heads before tokens."""
    q, k, v = (t.transpose(0, 2, 1, 3) for t in (q, k, v))
    key = jax.random.key(1) if rate else None
    return OWN[name](q, k, v, None, rate, key).transpose(0, 2, 1, 3)


CORES: dict[str, Core] = {
    "product, xla": own_core,
    "product, xla, dropout": functools.partial(own_core, rate=0.1),
    "product, cudnn": functools.partial(own_core, name="cudnn"),
    "jax.nn xla": functools.partial(jax.nn.dot_product_attention, implementation="xla"),
}


def attention(size: Size, rows: Rows) -> Iterator[Row]:
    """Cores given q, k, v in bfloat16; then whole blocks with their projections and dropout."""
    del rows
    for tokens in size.tokens:
        inputs = _inputs(size, tokens)
        yield from _cores(size, tokens, inputs)
        yield from _blocks(size, tokens, inputs)


def _inputs(size: Size, tokens: int) -> dict[str, Array]:
    keys = jax.random.split(jax.random.key(0), 8)
    width = size.heads * size.head_width
    shape = (size.rows, tokens, size.heads, size.head_width)
    inputs = {n: jax.random.normal(keys[i], shape, jnp.bfloat16) for i, n in enumerate("qkv")}
    wide = (size.rows, tokens, width)
    inputs |= {"weight": jax.random.normal(keys[3], shape, jnp.bfloat16)}
    inputs |= {"x": jax.random.normal(keys[4], wide, jnp.bfloat16)}
    scale = width**-0.5
    inputs |= {
        "qkv_kernel": scale * jax.random.normal(keys[5], (width, 3, width)),
        "qkv_bias": jnp.zeros((3, width)),
        "out_kernel": scale * jax.random.normal(keys[6], (width, width)),
        "out_bias": jnp.zeros((width,)),
    }
    return inputs


def _cores(size: Size, tokens: int, inputs: dict[str, Array]) -> Iterator[Row]:
    """Forward, and forward with backward, of each; errors against float32 at full precision."""
    given, weight = tuple(inputs[name] for name in "qkv"), inputs["weight"]
    wide = tuple(t.astype(jnp.float32) for t in given)
    with jax.default_matmul_precision("highest"):
        exact = jax.jit(own_core)(*wide), jax.jit(_gradient(own_core, weight))(*wide)
    functions = {}
    for name, core in CORES.items():
        functions[f"{name}, forward"] = core
        functions[f"{name}, forward + backward"] = _gradient(core, weight)
    programs = compile_all({n: functools.partial(_lowered, f, given) for n, f in functions.items()})

    def measure(name: str) -> Row:
        compiled = ready(programs[name])
        result = compiled.program(*given)
        row: Row = {"tokens": tokens, "fused": FUSED in (compiled.program.as_text() or "")}
        row |= pace(lambda: compiled.program(*given), jax.block_until_ready, 5 * size.calls)
        if "dropout" not in name:
            row |= {"relative_error": _error(result, exact["backward" in name])}
        return row | {"plan_gib": compiled.told.get("plan_gib")}

    for name in functions:
        yield tried(f"core: {name}, N {tokens}", functools.partial(measure, name))


def _blocks(size: Size, tokens: int, inputs: dict[str, Array]) -> Iterator[Row]:
    """The product's function, in the layouts and with the cores that it has."""
    params = {name: inputs[name] for name in inputs if "kernel" in name or "bias" in name}
    x, heads = inputs["x"], size.heads

    def block(
        x: Array, p: dict[str, Array], core: str = "xla", folded: bool = True, rate: float = 0.0
    ) -> Array:
        key = jax.random.key(1) if rate else None
        with layout(folded):
            return self_attention(x, p, heads, rate, None, key, OWN[core])

    functions: dict[str, Callable[..., Array]] = {
        "xla": block,
        "xla, heads first": functools.partial(block, folded=False),
        "xla, dropout 0.1": functools.partial(block, rate=0.1),
        "cudnn": functools.partial(block, core="cudnn"),
        "cudnn, heads first": functools.partial(block, core="cudnn", folded=False),
    }

    def gradient(block: Callable[..., Array]) -> Callable[..., Any]:
        return jax.grad(lambda x, p: jnp.sum(block(x, p).astype(jnp.float32) ** 2), (0, 1))

    programs = compile_all(
        {n: functools.partial(_lowered, gradient(f), (x, params)) for n, f in functions.items()}
    )

    def measure(name: str) -> Row:
        compiled = ready(programs[name])
        run = functools.partial(compiled.program, x, params)
        row: Row = {"tokens": tokens, "fused": FUSED in (compiled.program.as_text() or "")}
        row |= pace(run, jax.block_until_ready, 5 * size.calls)
        return row | {"plan_gib": compiled.told.get("plan_gib")}

    for name in functions:
        yield tried(f"block: {name}, forward + backward, N {tokens}", lambda n=name: measure(n))


def _lowered(function: Callable[..., Any], inputs: tuple[Any, ...]) -> jax.stages.Lowered:
    return jax.jit(function).lower(*inputs)


def _gradient(core: Core, weight: Array) -> Callable[..., tuple[Array, Array, Array]]:
    def scalar(q: Array, k: Array, v: Array) -> Array:
        return jnp.sum(core(q, k, v).astype(jnp.float32) * weight.astype(jnp.float32))

    return jax.grad(scalar, (0, 1, 2))


def _error(result: Any, exact: Any) -> float:
    """Largest difference over the largest value, the worst of the arrays."""
    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(exact), strict=True)
    wide = [(a.astype(jnp.float32), b.astype(jnp.float32)) for a, b in pairs]
    return max(float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))) for a, b in wide)
