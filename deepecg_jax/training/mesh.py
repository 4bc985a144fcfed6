"""The device mesh, and which axis of which array goes where."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from deepecg_jax.config import MeshConfig, RunConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models.sharding import MESH_AXES, RULES, Axes, spec_of
from deepecg_jax.training.types import Batch, HostBatch, Shardings, Weights

T = TypeVar("T")
_AUTO = (AxisType.Auto,) * len(MESH_AXES)


def run_mesh(config: RunConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of a run over these devices, or all; UserError when they or the batch do not fit."""
    mesh = make_mesh(config.mesh, devices)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    return mesh


def described(mesh: Mesh) -> str:
    """The devices of a mesh in words, such as ``8 tpu device(s) of 2 processes``."""
    kind = mesh.devices.flat[0].platform
    several = jax.process_count()
    return f"{mesh.size} {kind} device(s)" + (f" of {several} processes" if several > 1 else "")


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Mesh with axes data, fsdp, tensor over all devices; UserError when the sizes do not fit."""
    devices = jax.devices() if devices is None else devices
    sizes = [config.data, config.fsdp or _fsdp_size(config, devices), config.tensor]
    if sizes.count(-1) > 1 or 0 in sizes:
        raise UserError(
            f"mesh.data={config.data}, mesh.fsdp={config.fsdp}, mesh.tensor={config.tensor}: "
            "sizes are positive, and -1 (all that remain) may stand once; mesh.fsdp=0 chooses."
        )
    fixed = int(np.prod([size for size in sizes if size > 0]))
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(len(devices) // fixed, 1)
    if int(np.prod(sizes)) != len(devices):
        raise UserError(
            f"the mesh data={sizes[0]} x fsdp={sizes[1]} x tensor={sizes[2]} needs "
            f"{int(np.prod(sizes))} devices, but there are {len(devices)}."
        )
    own = {getattr(device, "slice_index", None) for device in devices}
    slices = config.slices or len(own)
    if slices > 1:
        return _mesh_of_slices(sizes, slices, devices, by_process=len(own) == 1)
    # a size that is no product of sides of the slice, such as 2 on 8 x 8, splits one of them
    placed = mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    return Mesh(placed, MESH_AXES, axis_types=_AUTO)


def _fsdp_size(config: MeshConfig, devices: Sequence[Any]) -> int:
    """What ``mesh.fsdp=0`` chooses: the largest power of two that divides the devices left for it,
    up to 16 and whole sides of the slice on TPUs (16 of 16 x 16, 8 of 8 x 8), and up to the devices
    of a process elsewhere.

    Parts of a width that are no multiple of 8 or 16 are not sent as they lie in a TPU's memory, and
    XLA then sums whole arrays instead of collecting parts.
    """
    own = {getattr(device, "slice_index", None) for device in devices}
    copies = config.data if config.data > 0 else max(config.slices, len(own))
    left = len(devices) // (copies * max(config.tensor, 1))
    together = len([d for d in devices if d.process_index == devices[0].process_index])
    on_tpu = devices[0].platform == "tpu"
    powers = [2**n for n in range(1, 5 if on_tpu else together.bit_length())]
    whole = _products_of_sides(devices) if on_tpu else powers
    return max([n for n in powers if n in whole and left and left % n == 0], default=1)


def _products_of_sides(devices: Sequence[Any]) -> set[int]:
    """What one or several sides of a TPU slice hold; one number for each set of sides."""
    sides = [len(set(side)) for side in zip(*(device.coords for device in devices), strict=True)]
    return {math.prod(some) for n in range(4) for some in itertools.combinations(sides, n)}


def _mesh_of_slices(
    sizes: Sequence[int], slices: int, devices: Sequence[Any], by_process: bool
) -> Mesh:
    """Several TPU slices, or hosts with GPUs: only the axis data, whose gradients are summed once a
    step, crosses the network between them.
    """
    data, fsdp, tensor = sizes
    if data % slices:
        raise UserError(
            f"mesh.data={data} is not a multiple of the {slices} slices, and only the axis data "
            "may cross the network between slices; choose another mesh.data, fsdp or tensor."
        )
    groups = {device.process_index if by_process else device.slice_index for device in devices}
    if len(groups) != slices:
        raise UserError(
            f"mesh.slices={slices}, but the devices belong to {len(groups)} "
            f"{'processes' if by_process else 'slices'}; choose that number, or 0."
        )
    within, across = (data // slices, fsdp, tensor), (slices, 1, 1)
    placed = mesh_utils.create_hybrid_device_mesh(
        within,
        across,
        devices,
        process_is_granule=by_process,
        allow_split_physical_axes=True,
    )
    return Mesh(placed, MESH_AXES, axis_types=_AUTO)


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
