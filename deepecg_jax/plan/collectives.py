"""What devices send to each other: how much, over which links, and for how long at best."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from deepecg_jax.plan.chips import Chip
from deepecg_jax.plan.hlo import Instruction

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-broadcast",
    "collective-permute",
    "send",
)
Place = tuple[int, ...]  # slice, then x, y, z of the chip


class Transfer(NamedTuple):
    """One execution of a collective.

    Attributes:
        bytes: of the whole array on a device: the result, and of a reduce-scatter what goes in.
        seconds: what a device sends over the bandwidth of the links that its group can use.
        between_slices: it crosses the network between slices.
    """

    bytes: int
    seconds: float
    between_slices: bool


def kind_of(instruction: Instruction) -> str | None:
    """The kind of a collective, or of the first half of one; None for anything else."""
    name = instruction.opcode.removesuffix("-start")
    return name if name in KINDS else None


def transfer(
    kind: str, instruction: Instruction, result: str, places: Sequence[Place], chip: Chip
) -> Transfer:
    """How much, and how long at best.

    result: printed shape of what comes out (of the second half, where there are two).
    places: of the devices, in the order of the mesh.

    In a group of n a device sends 2 (n - 1) / n of the array for an all-reduce and (n - 1) / n for
    the others (Thakur, Rabenseifner and Gropp 2005); a permutation and a message to another slice
    send it once. A group uses both directions of each axis of the torus along which it extends, so
    two links, one where there are two chips; a permutation uses one link.
    """
    size = Instruction("", "", result, (), (), "").bytes
    if kind in ("send", "collective-permute"):
        if kind == "send" or _crosses(_pairs(instruction), places):
            return Transfer(size, size / chip.network_bandwidth, True)
        return Transfer(size, size / chip.link_bandwidth, False)
    members = first_group(instruction, len(places))
    count = len(members)
    if kind == "reduce-scatter":
        size *= count
    sent = size * (count - 1) / count * (2 if kind == "all-reduce" else 1)
    where = [places[member] for member in members if member < len(places)]
    if len({place[0] for place in where}) > 1:
        return Transfer(size, sent / chip.network_bandwidth, True)
    links = _links(where, chip)
    return Transfer(size, sent / (links * chip.link_bandwidth) if links else 0.0, False)


def _links(where: Sequence[Place], chip: Chip) -> int:
    extents = [len({place[axis] for place in where}) for axis in range(1, len(where[0]))]
    return min(sum(min(extent - 1, 2) for extent in extents), chip.links)


def _crosses(pairs: Sequence[tuple[int, int]], places: Sequence[Place]) -> bool:
    return any(places[a][0] != places[b][0] for a, b in pairs if max(a, b) < len(places))


def _pairs(instruction: Instruction) -> list[tuple[int, int]]:
    found = re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}", instruction.attributes)
    text = found[1] if found else ""
    return [(int(a), int(b)) for a, b in re.findall(r"\{(\d+),(\d+)\}", text)]


def first_group(instruction: Instruction, n_devices: int) -> list[int]:
    """Devices (numbers in the mesh) of the first group of a collective; all where it names none.

    XLA writes groups as lists ``{{0,1},{2,3}}``, as a reshaped and transposed count
    ``[2,4]<=[4,2]T(1,0)``, or by axes of a mesh ``mesh['a'=2,'b'=4] {'b'}``.
    """
    text = instruction.attributes
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", text)
    if listed:
        return [int(number) for number in listed[1].split(",")]
    counted = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    if counted:
        shape, source = _numbers(counted[1]), _numbers(counted[2])
        order = _numbers(counted[3]) if counted[3] else list(range(len(source)))
        return _transposed(source, order)[: shape[-1]]
    meshed = re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", text)
    if meshed:
        axes = re.findall(r"'([^']+)'=(\d+)", meshed[1])
        sizes = [int(size) for _, size in axes]
        named = re.findall(r"'([^']+)'", meshed[2])
        inner = [index for index, (name, _) in enumerate(axes) if name in named]
        outer = [index for index in range(len(axes)) if index not in inner]
        count = math.prod(sizes[index] for index in inner)
        return _transposed(sizes, outer + inner)[:count]
    return list(range(n_devices))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _transposed(shape: Sequence[int], order: Sequence[int]) -> list[int]:
    """0, 1, 2, ... in an array of ``shape``, its axes put in ``order``, flat."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    flat = [0]
    for axis in order:
        flat = [base + step * strides[axis] for base in flat for step in range(shape[axis])]
    return flat
