"""What a bundle costs to run: parameters, operations, latency, memory, energy."""

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.energy import measure_energy
from deepecg_jax.bundle.runner import Output, apply
from deepecg_jax.errors import UserError
from deepecg_jax.models.readouts import readout_width

SCHEMA = 1
WARM_UP = 3


def cost(
    path: str | Path, batches: Sequence[int] = (1, 8, 64), repeats: int = 30
) -> dict[str, Any]:
    """Measure one bundle on this machine's default device.

    Args:
        path: the bundle, or a finished run.
        batches: ECGs computed at once.
        repeats: timed runs of each batch, after 3 that are not timed.

    Returns:
        ``schema``, ``bundle``, ``jax``, ``platform``, ``device``, ``parameters``,
        ``parameter_bytes``, ``seconds_of_ecg``;

        * ``flops``: for one ECG: ``analytic`` (matrix products, from the architecture), ``xla``
          (XLA's count of the program, layers unrolled because it counts a loop's body once),
          ``xla_over_analytic``, ``parts``;
        * ``batches``: size -> ``latency_median_s``, ``latency_p95_s`` (host array to host array),
          ``ecg_per_s``, ``compile_s``, ``program_bytes`` (``arguments``, ``outputs``,
          ``temporaries`` as XLA planned them; null where it does not tell), ``energy``
          (`energy.measure_energy` of all timed runs, and ``joules_per_ecg``);
        * ``peak_memory``: ``bytes`` and ``source``: the device's peak, or the process's where the
          device does not tell.

    Raises:
        UserError: no bundle, a batch or the repeats below 1.
    """
    wrong = [size for size in batches if size < 1]
    if wrong or not batches or repeats < 1:
        raise UserError(
            f"Batches must be 1 or more, and so must the repeats; got {list(batches)} and "
            f"{repeats}."
        )
    bundle = bundles.load(path)
    output: Output = "logits" if bundle.labels else "tokens"
    shape = (bundle.signal.n_samples, len(bundle.signal.leads))
    device = jax.devices()[0]
    parameters = sum(int(array.size) for array in bundle.weights.values())
    measured = {str(size): _time(bundle, output, size, shape, repeats) for size in batches}
    return {
        "schema": SCHEMA,
        "bundle": str(bundle.folder),
        "jax": jax.__version__,
        "platform": device.platform,
        "device": device.device_kind,
        "parameters": parameters,
        "parameter_bytes": sum(int(array.nbytes) for array in bundle.weights.values()),
        "seconds_of_ecg": bundle.signal.seconds,
        "flops": _flops(bundle.architecture, output, shape),
        "batches": measured,
        "peak_memory": _peak_memory(device),
    }


def analytic_flops(architecture: Architecture, n_samples: int) -> dict[str, float] | None:
    """Matrix-product operations of one ECG by part and in ``total``.

    ``None`` for a family that does not count them.
    """
    config = architecture.model
    counted = config.flops(n_samples)
    if counted is None:
        return None
    parts = dict(counted)
    if architecture.head is not None:
        d, n = config.width, config.n_tokens(n_samples)
        kind, readout = architecture.head.kind, architecture.head.readout
        width = readout_width(readout, config) if kind == "linear" else d
        head = 2.0 * width * architecture.n_labels
        if kind != "linear":
            # query; keys and values; looking
            head += 2.0 * d * d + 2.0 * n * d * 2 * d + 2 * 2.0 * n * d
        if kind == "attention":
            # output; the MLP, four times as wide
            head += 2.0 * d * d + 2 * 2.0 * d * 4 * d
        parts["head"] = head
    return parts | {"total": float(sum(parts.values()))}


def _flops(architecture: Architecture, output: Output, shape: tuple[int, int]) -> dict[str, Any]:
    parts = analytic_flops(architecture, shape[0])
    program = Architecture(architecture.model.unrolled(), architecture.head, architecture.n_labels)
    module = nnx.eval_shape(lambda: program.build(jax.random.key(0)))
    graph, state = nnx.split(module)

    def run(state: Any, signals: jax.Array) -> jax.Array:
        return apply(nnx.merge(graph, state), signals, output)

    signals = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    analysis = jax.jit(run).lower(state, signals).cost_analysis()
    counted = None if not analysis else analysis.get("flops")
    total = None if parts is None else parts.pop("total")
    return {
        "analytic": total,
        "xla": None if counted is None else float(counted),
        "xla_over_analytic": None if total is None or counted is None else float(counted) / total,
        "parts": parts,
    }


def _time(
    bundle: bundles.Bundle, output: Output, size: int, shape: tuple[int, int], repeats: int
) -> dict[str, Any]:
    graph, state = nnx.split(bundle.model)

    def run(state: Any, signals: jax.Array) -> jax.Array:
        return apply(nnx.merge(graph, state), signals, output)

    signals = np.random.default_rng(0).normal(0.0, 0.2, (size, *shape)).astype(np.float32)
    start = time.perf_counter()
    program = jax.jit(run).lower(state, jnp.asarray(signals)).compile()
    compiled = time.perf_counter() - start
    for _ in range(WARM_UP):
        np.asarray(program(state, jnp.asarray(signals)))
    seconds: list[float] = []

    def timed() -> None:
        for _ in range(repeats):
            begin = time.perf_counter()
            np.asarray(program(state, jnp.asarray(signals)))
            seconds.append(time.perf_counter() - begin)

    energy = measure_energy(timed)
    joules = energy["joules"]
    median = float(np.median(seconds))
    return {
        "latency_median_s": median,
        "latency_p95_s": float(np.percentile(seconds, 95)),
        "ecg_per_s": size / median,
        "compile_s": compiled,
        "program_bytes": _planned(program),
        "energy": energy
        | {"joules_per_ecg": None if joules is None else joules / (repeats * size)},
    }


def _planned(program: Any) -> dict[str, int] | None:
    plan = program.memory_analysis()
    if plan is None:
        return None
    return {
        "arguments": int(plan.argument_size_in_bytes),
        "outputs": int(plan.output_size_in_bytes),
        "temporaries": int(plan.temp_size_in_bytes),
    }


def _peak_memory(device: Any) -> dict[str, Any]:
    told = device.memory_stats()
    if told and "peak_bytes_in_use" in told:
        return {"bytes": int(told["peak_bytes_in_use"]), "source": f"{device.device_kind} memory"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kilobytes on Linux, bytes on macOS
    scale = 1 if sys.platform == "darwin" else 1024
    return {"bytes": int(peak) * scale, "source": "resident memory of the whole process"}
