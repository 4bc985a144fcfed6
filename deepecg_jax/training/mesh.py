"""The device mesh, and which axis of which array goes where."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from deepecg_jax.config import MeshConfig, RunConfig
from deepecg_jax.errors import UserError
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
    return jax.make_mesh(
        tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )


@dataclass(frozen=True)
class ShardingRules:
    """Mesh axis of each logical axis of a parameter; None replicates it."""

    width: str | None = "fsdp"
    hidden: str | None = "tensor"
    layers: str | None = None


LogicalAxes: TypeAlias = tuple[str | None, ...]
"""The logical axis of each axis of a parameter; None: it is never split."""

# By the end of a parameter's dotted name, with * for a number. The large matrices are split; what
# is small, or a convolution, is replicated, and says so here.
LOGICAL_AXES: dict[str, LogicalAxes] = {
    # stacked transformer layers
    "qkv_kernel": ("layers", "width", None, "hidden"),
    "qkv_bias": ("layers", None, None),
    "out_kernel": ("layers", "hidden", "width"),
    "out_bias": ("layers", None),
    "up_kernel": ("layers", "width", "hidden"),
    "up_bias": ("layers", None),
    "down_kernel": ("layers", "hidden", "width"),
    "down_bias": ("layers", None),
    "attention_norm_scale": ("layers", None),
    "attention_norm_bias": ("layers", None),
    "ffn_norm_scale": ("layers", None),
    "ffn_norm_bias": ("layers", None),
    # WCR: stem, positions, quantizer, projections
    "stem.kernels.*": (None, None, None),
    "positional.direction": (None, None, "width"),
    "quantizer.codebook": (None, None, None),
    "quantizer.logits.kernel": (None, None),
    "project_target.kernel": (None, None),
    "project_context.kernel": (None, None),
    "lead_decoder.kernel": (None, None),
    # EfficientNet
    "stem.kernel": (None, None, None),
    "conv.kernel": (None, None, None),
    "expand.kernel": (None, None, None),
    "depthwise.kernel": (None, None),
    "project.kernel": (None, None, None),
    "gate.down.kernel": (None, None),
    "gate.up.kernel": (None, None),
    "tail.kernel": (None, None, None),
    # heads, and the projection of WCR's stem
    "projection.kernel": (None, None),
    "to_query.kernel": (None, None),
    "to_key_value.kernel": (None, None),
    "to_out.kernel": (None, None),
    "up.kernel": (None, None),
    "down.kernel": (None, None),
    # BERT
    "embeddings.word": (None, None),
    "embeddings.position": (None, None),
    "embeddings.token_type": (None, None),
    "pooler.kernel": (None, None),
    "classifier.kernel": (None, None),
}


def logical_axes(name: str) -> LogicalAxes | None:
    """The axes of the parameter with this dotted name, by its longest end that has a rule."""
    parts = ["*" if part.isdigit() else part for part in name.split(".")]
    ends = (".".join(parts[start:]) for start in range(len(parts)))
    return next((LOGICAL_AXES[end] for end in ends if end in LOGICAL_AXES), None)


def parameter_shardings(
    params: Mapping[str, object],
    mesh: Mesh,
    axes_of: Callable[[str], LogicalAxes | None] = logical_axes,
    rules: ShardingRules = ShardingRules(),
) -> Shardings:
    """Where each leaf of ``params`` (arrays or shapes, nested) is.

    axes_of: logical axes by dotted name. Vectors and scalars are replicated and need none;
        UserError for a larger parameter without, which would otherwise be copied to every device
        unnoticed.
    An axis that its mesh axis does not divide is replicated, so odd sizes work everywhere.
    """

    def sharding(path: jax.tree_util.KeyPath, leaf: jax.Array) -> NamedSharding:
        name = ".".join(str(getattr(key, "key", key)) for key in path)
        axes = axes_of(name) if leaf.ndim > 1 else (None,) * leaf.ndim
        if axes is None or len(axes) != leaf.ndim:
            found = "no rule" if axes is None else f"a rule for {len(axes)} axes"
            raise UserError(
                f"the parameter {name} of shape {tuple(leaf.shape)} has {found} of how it is "
                "spread over devices; declare the logical axis, or None, of each of its axes."
            )
        spec = []
        for size, axis in zip(leaf.shape, axes, strict=True):
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
