"""The device mesh, and which axis of which array goes where."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from deepecg_jax.config import MeshConfig, RunConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models.sharding import MESH_AXES, RULES, Axes, spec_of
from deepecg_jax.training.types import Batch, HostBatch, Shardings, Weights

T = TypeVar("T")


def run_mesh(config: RunConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of a run over these devices, or all; UserError when they or the batch do not fit."""
    mesh = make_mesh(config.mesh, devices)
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
    return _laid_out(sizes, config.slices, devices)


def _laid_out(sizes: Sequence[int], slices: int, devices: Sequence[Any]) -> Mesh:
    """The mesh of these axis sizes, so that only the data axis crosses from slice to slice."""
    kinds = (AxisType.Auto,) * len(MESH_AXES)
    if slices == 1:
        return jax.make_mesh(tuple(sizes), MESH_AXES, axis_types=kinds, devices=devices)
    if sizes[0] % slices:
        raise UserError(
            f"mesh.data={sizes[0]} is split over mesh.slices={slices}, so it must be a multiple."
        )
    by_slice: dict[int, list[Any]] = {}
    for device in devices:
        # TPUs know their slice; other devices are joined inside of a process
        own = getattr(device, "slice_index", None)
        by_slice.setdefault(device.process_index if own is None else own, []).append(device)
    groups = [by_slice[number] for number in sorted(by_slice)]
    if len(groups) % slices or len({len(group) for group in groups}) > 1:
        raise UserError(
            f"mesh.slices={slices}, but the devices are in {len(groups)} slices or hosts of "
            f"{', '.join(str(len(group)) for group in groups)} devices."
        )
    joined = len(groups) // slices
    inner = (sizes[0] // slices, *sizes[1:])
    parts = []
    for first in range(0, len(groups), joined):
        own = [device for group in groups[first : first + joined] for device in group]
        parts.append(jax.make_mesh(inner, MESH_AXES, axis_types=kinds, devices=own).devices)
    return Mesh(np.concatenate(parts), MESH_AXES, axis_types=kinds)


def parameter_shardings(
    params: Mapping[str, object],
    mesh: Mesh,
    axes: Mapping[str, Axes],
) -> Shardings:
    """Where each leaf of ``params`` (arrays or shapes, nested) is stored, by `models.sharding`.

    axes: logical axes of each leaf by its dotted name (`models.axes.logical_axes`), which refuses a
        matrix without a rule: it would otherwise be copied to every device unnoticed.
    """

    def sharding(path: jax.tree_util.KeyPath, leaf: jax.Array) -> NamedSharding:
        name = ".".join(str(getattr(key, "key", key)) for key in path)
        return NamedSharding(mesh, spec_of(leaf.shape, axes[name], mesh.shape))

    return jax.tree_util.tree_map_with_path(sharding, params)


def split_over_data(params: Weights, shardings: Shardings, mesh: Mesh) -> Shardings:
    """The same, each leaf also split over the data axis, along its first axis that divides.

    What nothing divides stays as it is, so odd sizes work everywhere.
    """
    parts = mesh.shape["data"]

    def sharding(leaf: jax.Array, stored: NamedSharding) -> NamedSharding:
        spec = [*stored.spec, *(None,) * (leaf.ndim - len(stored.spec))]
        for axis, size in enumerate(leaf.shape):
            if parts > 1 and spec[axis] is None and size % parts == 0:
                spec[axis] = "data"
                return NamedSharding(mesh, P(*spec))
        return stored

    return jax.tree.map(sharding, params, shardings)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Batches are split over data and fsdp; every device of a tensor group sees the same part."""
    return NamedSharding(mesh, P(RULES["rows"]))


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
