"""The device mesh, and which axis of which array goes where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from deepecg_jax.config import MeshConfig, RunConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models.axes import Axes
from deepecg_jax.training.types import Batch, HostBatch, Shardings

AXES = ("data", "fsdp", "tensor")
T = TypeVar("T")


def run_mesh(config: RunConfig) -> Mesh:
    """The mesh of a run; UserError when the devices or the batch do not fit it."""
    mesh = make_mesh(config.mesh)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    return mesh


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Mesh with axes data, fsdp, tensor over all devices; UserError when the sizes do not fit."""
    devices = jax.devices() if devices is None else devices
    sizes = [config.data, config.fsdp, config.tensor]
    if sizes.count(-1) > 1 or 0 in sizes:
        raise UserError(
            f"mesh.data={config.data}, mesh.fsdp={config.fsdp}, mesh.tensor={config.tensor}: "
            "sizes are positive, and -1 (all that remain) may stand once."
        )
    fixed = int(np.prod([size for size in sizes if size > 0]))
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(len(devices) // fixed, 1)
    if int(np.prod(sizes)) != len(devices):
        raise UserError(
            f"the mesh data={sizes[0]} x fsdp={sizes[1]} x tensor={sizes[2]} needs "
            f"{int(np.prod(sizes))} devices, but there are {len(devices)}."
        )
    slices = len({getattr(device, "slice_index", None) for device in devices})
    if slices > 1:
        return _mesh_of_slices(sizes, slices, devices)
    return jax.make_mesh(
        tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )


def _mesh_of_slices(sizes: list[int], slices: int, devices: Sequence[Any]) -> Mesh:
    """Several TPU slices: only the axis data, whose gradients are summed once a step, crosses the
    network between them.
    """
    data, fsdp, tensor = sizes
    if data % slices:
        raise UserError(
            f"mesh.data={data} is not a multiple of the {slices} slices, and only the axis data "
            "may cross the network between slices; choose another mesh.data, fsdp or tensor."
        )
    within = (data // slices, fsdp, tensor)
    placed = mesh_utils.create_hybrid_device_mesh(within, (slices, 1, 1), devices)
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


@dataclass(frozen=True)
class ShardingRules:
    """Mesh axis of each logical axis of a parameter; None replicates it."""

    width: str | None = "fsdp"
    hidden: str | None = "tensor"
    layers: str | None = None


def parameter_shardings(
    params: Mapping[str, object],
    mesh: Mesh,
    axes: Mapping[str, Axes],
    rules: ShardingRules = ShardingRules(),
) -> Shardings:
    """Where each leaf of ``params`` (arrays or shapes, nested) is.

    axes: logical axes of each leaf by its dotted name (`models.axes.logical_axes`), which refuses a
        matrix without a rule: it would otherwise be copied to every device unnoticed.
    An axis that its mesh axis does not divide is replicated, so odd sizes work everywhere.
    """

    def sharding(path: jax.tree_util.KeyPath, leaf: jax.Array) -> NamedSharding:
        name = ".".join(str(getattr(key, "key", key)) for key in path)
        spec = []
        for size, axis in zip(leaf.shape, axes[name], strict=True):
            mesh_axis = getattr(rules, axis) if axis else None
            divides = mesh_axis is not None and size % mesh.shape[mesh_axis] == 0
            spec.append(mesh_axis if divides else None)
        return NamedSharding(mesh, P(*spec))

    return jax.tree_util.tree_map_with_path(sharding, params)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Batches are split over data and fsdp; every device of a tensor group sees the same part."""
    return NamedSharding(mesh, P(("data", "fsdp")))


def batch_rows(mesh: Mesh, batch: int) -> np.ndarray:
    """Rows of a batch that the devices of this process hold, ascending.

    Processes that share a tensor group hold the same rows; otherwise each row has one process.
    """
    parts = batch_sharding(mesh).addressable_devices_indices_map((batch,)).values()
    return np.unique(np.concatenate([np.arange(batch)[part] for part in parts if part is not None]))


def on_devices(rows: HostBatch, mesh: Mesh, batch: int) -> Batch:
    """The rows that this process read (`batch_rows`) as its part of a batch of ``batch`` rows."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, part, (batch, *part.shape[1:]))
        for name, part in rows.items()
    }


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, P())


def require_divisible(global_batch: int, accumulation: int, mesh: Mesh) -> None:
    """UserError unless each device gets the same number of ECGs in each accumulation part."""
    parts = mesh.shape["data"] * mesh.shape["fsdp"] * accumulation
    if global_batch % parts:
        raise UserError(
            f"train.global_batch={global_batch} is not a multiple of mesh.data x mesh.fsdp x "
            f"train.accumulation = {parts}; choose {global_batch // parts * parts or parts} or "
            f"{(global_batch // parts + 1) * parts}."
        )


def gathered(tree: T, mesh: Mesh) -> T:
    """Arrays that are spread over the devices of several processes as whole numpy arrays.

    All processes call it, and all get the result.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)
    return jax.tree.map(np.asarray, whole)
