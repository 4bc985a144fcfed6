"""A plan: what a pretraining step needs and takes on a TPU slice that is not there."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypedDict

from deepecg_jax.config import PretrainConfig
from deepecg_jax.errors import UserError
from deepecg_jax.plan.chips import Chip
from deepecg_jax.plan.compiling import Compilation, Progress, compile_step, silent
from deepecg_jax.plan.estimate import Estimate, estimate
from deepecg_jax.plan.flops import step_flops
from deepecg_jax.plan.hlo import dtypes_of, read_program
from deepecg_jax.plan.limits import limits_of
from deepecg_jax.plan.memory import Memory, total
from deepecg_jax.plan.prices import per_million
from deepecg_jax.plan.search import Largest, Tried, largest_batch
from deepecg_jax.plan.topology import Topology, coordinates, devices_of
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.mesh import make_mesh

SCHEMA = 1
SHOWN = 30  # operations in the result
# the search for the largest batch begins where the batch alone, as stored, takes this share of the
# memory: an encoder's activations take far more than sixteen times what it reads
_BATCH_SHARE = 1 / 16


class Collective(TypedDict):
    """All collectives of one kind in a step; seconds are best cases (`collectives.transfer`).

    ``largest``: bytes of the largest of them. ``dtypes``: what they send, such as ``bf16``.
    """

    kind: str
    count: int
    bytes: int
    largest: int
    dtypes: list[str]
    asynchronous: int
    between_slices: int
    seconds: float
    exposed_seconds: float


class Plan(TypedDict):
    """What ``deepecg plan --json`` writes; null where a program that does not fit has no answer.

    Bytes and FLOPs are those of one device, seconds those of one step. ``cycles`` and ``share`` of
    ``top_ops`` are of all executions in a step and of the time that is spent computing.
    ``search`` is there if the largest batch was looked for.
    """

    schema: int
    topology: str
    n_devices: int
    n_slices: int
    device_kind: str
    model: str
    objective: str
    global_batch: int
    mesh: dict[str, int]
    compute_dtype: str
    fits: bool
    too_big: str | None
    hbm_bytes_per_device: int
    peak_bytes_per_device: int | None
    memory: Memory
    model_flops_per_step_per_device: float | None
    model_flops_by_part: dict[str, float] | None
    predicted_step_seconds: float | None
    compute_seconds: float | None
    kernel_seconds: float | None
    exposed_collective_seconds: float | None
    unestimated_seconds_at_most: float | None
    predicted_ecg_per_s: float | None
    predicted_mfu: float | None
    top_ops: list[dict[str, Any]]
    kernels: list[dict[str, Any]]
    collectives: list[Collective]
    unestimated: list[dict[str, Any]]
    unknown_loops: int | None
    compile_seconds: float
    usd_per_chip_hour: float | None
    usd_per_million_ecgs: float | None
    search: dict[str, Any] | None
    versions: dict[str, str]
    limits: list[str]


def plan(
    config: PretrainConfig,
    topology: Topology,
    price: float | None = None,
    progress: Progress = silent,
) -> Plan:
    """Compile the train step of a config for a slice, and read what the compiler says of it.

    Call `topology.prepare` before JAX is imported.

    Args:
        config: of the pretraining.
        topology: the slice, or slices.
        price: US dollars a chip and hour; None: costs are null.
        progress: shows what is done while it is done.

    Raises:
        UserError: libtpu is missing or has no such slice; the mesh does not fit it; the batch does
            not fit the mesh.
    """
    devices = devices_of(topology)
    compilation = compile_step(config, devices, progress, topology.name)
    return _plan_of(config, topology, compilation, price, None, progress)


def plan_largest(
    config: PretrainConfig,
    topology: Topology,
    price: float | None = None,
    progress: Progress = silent,
    compiler: Callable[..., Compilation] = compile_step,
) -> Plan:
    """The same for the largest global batch that fits (`search.largest_batch`); ``search`` says
    what was tried. If not even the smallest fits, the plan is that of the smallest that was tried.

    compiler: stands in for `compile_step` in tests.
    """
    devices = devices_of(topology)
    mesh = make_mesh(config.mesh, devices)
    groups = mesh.shape["data"] * mesh.shape["fsdp"]
    unit, memory = groups * config.train.accumulation, topology.chip.hbm_bytes
    contract = SignalContract()
    stored = 2 * contract.n_samples * len(contract.leads)  # int16
    compiled: dict[int, Compilation] = {}

    def try_batch(batch: int) -> Tried:
        compilation = compiler(with_batch(config, batch), devices, progress, topology.name)
        if compilation.program is not None:
            # the texts of programs are large, and only that of the largest that fits is read
            for smaller in [one for one in compiled if one < batch]:
                compiled[smaller] = compiled[smaller]._replace(program=None)
        compiled[batch] = compilation
        return Tried(batch, compilation.too_big is None, _needed(compilation))

    start = int(groups * memory * _BATCH_SHARE / stored)
    found = largest_batch(try_batch, unit, memory, start)
    batch = found.batch or min(compiled)
    return _plan_of(
        with_batch(config, batch), topology, compiled[batch], price, _searched(found), progress
    )


def with_batch(config: PretrainConfig, batch: int) -> PretrainConfig:
    """The config with another global batch; UserError if its encoder cannot take it."""
    try:
        config.model.check_batch(batch // config.train.accumulation)
    except ValueError as error:
        raise UserError(f"train.global_batch={batch}: {error}.") from error
    return config.model_copy(
        update={"train": config.train.model_copy(update={"global_batch": batch})}
    )


def _needed(compilation: Compilation) -> int | None:
    if compilation.too_big is None:
        return total(compilation.memory)
    return compilation.too_big.needed


def _searched(found: Largest) -> dict[str, Any]:
    return {
        "largest_batch": found.batch,
        "smallest_too_big": found.too_big,
        "tried": [one._asdict() for one in found.tried],
    }


def _plan_of(
    config: PretrainConfig,
    topology: Topology,
    compilation: Compilation,
    price: float | None,
    search: dict[str, Any] | None,
    progress: Progress,
) -> Plan:
    chip, n_devices = topology.chip, len(compilation.devices)
    too_big = compilation.too_big
    by_part = step_flops(config, SignalContract())
    flops = None if by_part is None else sum(by_part.values()) / n_devices
    read: Estimate | None = None
    if compilation.program is not None:
        with progress("reading the compiled program"):
            program = read_program(compilation.program)
            read = estimate(program, chip, coordinates(compilation.devices))
    seconds = None if read is None else read.seconds
    rate = config.train.global_batch / seconds if seconds else None
    kernels = [] if read is None else [one for one in read.operations if one.by == "kernel"]
    mesh = make_mesh(config.mesh, compilation.devices)
    there = too_big.available if too_big is not None and too_big.available else chip.hbm_bytes
    return {
        "schema": SCHEMA,
        "topology": topology.name,
        "n_devices": n_devices,
        "n_slices": topology.slices,
        "device_kind": compilation.devices[0].device_kind,
        "model": config.model.title,
        "objective": config.objective.kind,
        "global_batch": config.train.global_batch,
        "mesh": {str(name): int(size) for name, size in mesh.shape.items()},
        "compute_dtype": config.train.compute_dtype,
        "fits": too_big is None,
        "too_big": None if too_big is None else too_big.message,
        "hbm_bytes_per_device": there,
        "peak_bytes_per_device": _needed(compilation),
        "memory": compilation.memory,
        "model_flops_per_step_per_device": flops,
        "model_flops_by_part": by_part,
        "predicted_step_seconds": seconds,
        "compute_seconds": read and read.compute_seconds,
        "kernel_seconds": read and sum(one.seconds for one in kernels),
        "exposed_collective_seconds": read and read.exposed_seconds,
        "unestimated_seconds_at_most": read and read.unestimated_seconds(chip),
        "predicted_ecg_per_s": rate,
        "predicted_mfu": flops / chip.peak / seconds if flops and seconds else None,
        "top_ops": [] if read is None else _top_operations(read, chip),
        "kernels": [
            {"op": one.op, "source": one.source, "times": one.times, "seconds": one.seconds}
            for one in kernels
        ],
        "collectives": [] if read is None else collectives_by_kind(read),
        "unestimated": [] if read is None else [one._asdict() for one in read.unestimated],
        "unknown_loops": read and read.unknown_loops,
        "compile_seconds": compilation.seconds,
        "usd_per_chip_hour": price,
        "usd_per_million_ecgs": per_million(price, n_devices, rate)
        if price is not None and rate
        else None,
        "search": search,
        "versions": {name: version(name) for name in ("jax", "libtpu")},
        "limits": limits_of(chip, topology.slices),
    }


def _top_operations(read: Estimate, chip: Chip) -> list[dict[str, Any]]:
    whole = read.compute_seconds
    return [
        {
            "op": one.op,
            "source": one.source,
            "cycles": round(one.seconds * chip.clock),
            "share": one.seconds / whole if whole else 0.0,
            "times": one.times,
            "estimated_by": one.by,
        }
        for one in read.operations[:SHOWN]
    ]


def collectives_by_kind(read: Estimate) -> list[Collective]:
    """The kinds, the largest first."""
    found: dict[str, Collective] = {}
    for one in read.sent:
        kind: Collective = found.setdefault(
            one.kind,
            {
                "kind": one.kind,
                "count": 0,
                "bytes": 0,
                "largest": 0,
                "dtypes": [],
                "asynchronous": 0,
                "between_slices": 0,
                "seconds": 0.0,
                "exposed_seconds": 0.0,
            },
        )
        kind["count"] += one.times
        kind["bytes"] += one.times * one.transfer.bytes
        kind["largest"] = max(kind["largest"], one.transfer.bytes)
        kind["dtypes"] = sorted({*kind["dtypes"], *dtypes_of(one.instruction.shape)})
        kind["asynchronous"] += one.times * one.asynchronous
        kind["between_slices"] += one.times * one.transfer.between_slices
        kind["seconds"] += one.times * one.transfer.seconds
        kind["exposed_seconds"] += one.times * one.exposed
    return sorted(found.values(), key=lambda kind: -kind["bytes"])
