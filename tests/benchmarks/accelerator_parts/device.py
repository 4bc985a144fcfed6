"""The device, what software drives it, and how fast a large product is: the denominator."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp

from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.timing import pace

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "triton", "pydantic")


def device(size: Size, rows: Rows) -> Iterator[Row]:
    """Versions and memory; products of n x n matrices; a copy within the device."""
    del rows
    yield tried("machine", _machine)
    n = size.product
    a, b = (jax.random.normal(jax.random.key(i), (n, n), jnp.float32) for i in range(2))
    for dtype, precision in (("bfloat16", None), ("float32", None), ("float32", "highest")):

        def product(dtype: str = dtype, precision: str | None = precision) -> Row:
            x, y = a.astype(dtype), b.astype(dtype)
            multiply = jax.jit(lambda x, y: jnp.matmul(x, y, precision=precision))
            timed = pace(lambda: multiply(x, y), jax.block_until_ready, size.calls)
            rate = 2 * n**3 / timed["ms"] / 1e9
            name = "peak_tflops" if dtype == "bfloat16" else "tflops"
            return {**timed, name: rate}

        yield tried(f"product of {n} x {n}, {dtype}, {precision or 'default'}", product)

    def copy() -> Row:
        add = jax.jit(lambda x: x + 1.0)
        timed = pace(lambda: add(a), jax.block_until_ready, size.calls)
        return {**timed, "gb_per_s": 2 * a.nbytes / timed["ms"] / 1e6}

    yield tried(f"reading and writing {a.nbytes / 1e6:.0f} MB", copy)

    def least() -> Row:
        add, few = jax.jit(lambda x: x + 1.0).lower(a[0]).compile(), a[0]
        return pace(lambda: add(few), jax.block_until_ready, 20 * size.calls)

    yield tried("the least time of a call", least)


def _machine() -> Row:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    own = jax.local_devices()[0]
    memory = own.memory_stats() or {}
    return {
        "python": platform.python_version(),
        **versions,
        "backend": jax.default_backend(),
        "device": own.device_kind,
        "devices": jax.local_device_count(),
        "limit_gib": memory.get("bytes_limit", 0) / 2**30 or None,
        "driver": _driver(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()
