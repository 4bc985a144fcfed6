"""Which mesh axes split which logical axis: one table for parameters and for activations.

A mesh has the axes ``data`` (copies of the model), ``fsdp`` (devices that share the parameters)
and ``tensor`` (devices that share each product). Rows of a batch are split over the first two, so
that fully sharded data parallelism (Rajbhandari et al. 2020, ZeRO stage 3) is what its name says:
every device computes its own rows, with parameters that are collected layer by layer.

Without a constraint the compiler is free to split the width of the activations instead, and every
device then holds the whole batch: the numbers are the same and the time is not.
"""

from collections.abc import Mapping, Sequence

import jax
from jax.sharding import PartitionSpec as P

Array = jax.Array
Axes = tuple[str | None, ...]

MESH_AXES = ("data", "fsdp", "tensor")
RULES: Mapping[str, tuple[str, ...]] = {
    "rows": ("data", "fsdp"),  # of a batch: ECGs, segments of them, patients
    "width": ("fsdp",),  # of a parameter: it is stored in parts and collected to be used
    "hidden": ("tensor",),  # attention heads and feed-forward units
    "layers": (),
}
STORED = frozenset({"width"})
"""Logical axes that are split while a parameter is stored, and whole while it is used."""


def spec_of(shape: Sequence[int], axes: Axes, sizes: Mapping[str, int], used: bool = False) -> P:
    """Where an array of that shape and those logical axes is, on a mesh of such axis sizes.

    used: of a parameter: as it is used, not as it is stored.
    An axis that the mesh axes do not divide is not split, so odd sizes work everywhere.
    """
    parts: list[tuple[str, ...] | str | None] = []
    for size, axis in zip(shape, axes, strict=True):
        names = RULES[axis] if axis and not (used and axis in STORED) else ()
        names = tuple(name for name in names if sizes.get(name, 1) > 1)
        count = 1
        for name in names:
            count *= sizes[name]
        if not names or size % count:
            parts.append(None)
        else:
            parts.append(names[0] if len(names) == 1 else names)
    return P(*parts)


def constrained(x: Array, axes: Axes, used: bool = False) -> Array:
    """``x``, which the mesh in use (`jax.set_mesh`) must hold as `spec_of` says; its gradient too.

    Without a mesh, or on one device, it is ``x`` itself.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, spec_of(x.shape, axes, mesh.shape, used))


def rows_split(x: Array) -> Array:
    """An activation, (B, ...), whose rows are split and nothing else."""
    return constrained(x, ("rows", *(None,) * (x.ndim - 1)))


def platform() -> str:
    """``cpu``, ``gpu`` or ``tpu``: what the program being traced is for.

    That is the platform of the mesh in use, whose devices need not be there, else JAX's default.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    name = jax.default_backend() if device is None else device.platform
    return "gpu" if name in ("cuda", "rocm") else name


def axis_size(name: str) -> int:
    """Devices along an axis of the mesh in use; 1 without."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.shape.get(name, 1)
