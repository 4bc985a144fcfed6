"""Self-attention alone, by implementation: time, error, and whether a fused kernel is used."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from accelerator_parts.programs import compile_all, ready
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace
from deepecg_jax.models.attention import self_attention
from deepecg_jax.models.products import affine

Array = jax.Array
Core = Callable[[Array, Array, Array], Array]  # each (B, N, heads, d)
FUSED = "__cudnn$fmha"


def own_core(q: Array, k: Array, v: Array) -> Array:
    """The lines between the projections of `models.attention` (checked against it below)."""
    q, k, v = (t.transpose(0, 2, 1, 3) for t in (q, k, v))
    logits = ((q * q.shape[-1] ** -0.5) @ k.transpose(0, 1, 3, 2)).astype(jnp.float32)
    return (jax.nn.softmax(logits, axis=-1).astype(q.dtype) @ v).transpose(0, 2, 1, 3)


def fused_dropout_core(q: Array, k: Array, v: Array) -> Array:
    """cuDNN's kernel with its own dropout, which `jax.nn` does not offer."""
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    scale = q.shape[-1] ** -0.5
    return cudnn.dot_product_attention(q, k, v, scale=scale, dropout_rate=0.1, seed=42)


CORES: dict[str, Core] = {
    "product": own_core,
    "jax.nn xla": functools.partial(jax.nn.dot_product_attention, implementation="xla"),
    "jax.nn cudnn": functools.partial(jax.nn.dot_product_attention, implementation="cudnn"),
    "cudnn with dropout": fused_dropout_core,
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
        row: Row = {"tokens": tokens, "fused": FUSED in compiled.program.as_text()}
        row |= pace(lambda: compiled.program(*given), jax.block_until_ready, 5 * size.calls)
        if "dropout" not in name:
            row |= {"relative_error": _error(result, exact["backward" in name])}
        return row | {"plan_gib": compiled.told.get("plan_gib")}

    for name in functions:
        yield tried(f"core: {name}, N {tokens}", functools.partial(measure, name))


def _blocks(size: Size, tokens: int, inputs: dict[str, Array]) -> Iterator[Row]:
    """The product's function, and the same with another core, by x and the weights."""
    params = {name: inputs[name] for name in inputs if "kernel" in name or "bias" in name}
    x, heads = inputs["x"], size.heads

    def product(x: Array, p: dict[str, Array], rate: float = 0.0) -> Array:
        return self_attention(x, p, heads, rate, None, jax.random.key(1) if rate else None)

    def other(core: Core, x: Array, p: dict[str, Array]) -> Array:
        batch, n, width = x.shape
        kernel, bias = p["qkv_kernel"].reshape(width, -1), p["qkv_bias"].reshape(-1)
        qkv = affine(x, kernel, bias).reshape(batch, n, 3, heads, width // heads)
        y = core(*(qkv[:, :, i] for i in range(3))).reshape(batch, n, width)
        return affine(y, p["out_kernel"], p["out_bias"])

    functions: dict[str, Callable[..., Array]] = {
        "product": product,
        "product, dropout 0.1": functools.partial(product, rate=0.1),
        **{n: functools.partial(other, core) for n, core in CORES.items() if n != "product"},
    }

    def gradient(block: Callable[..., Array]) -> Callable[..., Any]:
        return jax.grad(lambda x, p: jnp.sum(block(x, p).astype(jnp.float32) ** 2), (0, 1))

    programs = compile_all(
        {n: functools.partial(_lowered, gradient(f), (x, params)) for n, f in functions.items()}
    )

    def same() -> Row:
        ours = jax.jit(product)(x, params)
        copied = jax.jit(functools.partial(other, own_core))(x, params)
        return {"tokens": tokens, "relative_error": _error(ours, copied)}

    def measure(name: str) -> Row:
        compiled = ready(programs[name])
        run = functools.partial(compiled.program, x, params)
        row: Row = {"tokens": tokens, "fused": FUSED in compiled.program.as_text()}
        row |= pace(run, jax.block_until_ready, 5 * size.calls)
        return row | {"plan_gib": compiled.told.get("plan_gib")}

    yield tried(f"core 'product' against models/attention.py, N {tokens}", same)
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
