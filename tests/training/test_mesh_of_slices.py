"""Several TPU slices: only the axis data crosses the network between them."""

from dataclasses import dataclass

import pytest

from deepecg_jax.config import MeshConfig
from deepecg_jax.errors import UserError
from deepecg_jax.training.mesh import make_mesh


@dataclass(frozen=True)
class Chip:
    """What JAX reads of a TPU device when it places a mesh."""

    id: int
    slice_index: int
    process_index: int
    coords: tuple[int, int, int]
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"


def chips(slices: int) -> list[Chip]:
    """``slices`` squares of four, the last first."""
    found = [Chip(i, i // 4, i // 4, (i % 2, i // 2 % 2, 0)) for i in range(4 * slices)]
    return found[::-1]


@pytest.mark.parametrize(("fsdp", "tensor"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_fsdp_and_tensor_stay_within_a_slice(fsdp: int, tensor: int) -> None:
    mesh = make_mesh(MeshConfig(fsdp=fsdp, tensor=tensor), chips(2))
    assert dict(mesh.shape) == {"data": 8 // fsdp // tensor, "fsdp": fsdp, "tensor": tensor}
    assert {chip.id for chip in mesh.devices.flat} == set(range(8))
    halves = [len({chip.slice_index for chip in row.flat}) for row in mesh.devices]
    assert set(halves) == {1}, "a row of the axis data is in one slice"
    order = [row.flat[0].slice_index for row in mesh.devices]
    assert order == sorted(order), "and each slice holds rows that follow each other"


def test_data_that_the_slices_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="mesh.data=4 is not a multiple of the 3 slices"):
        make_mesh(MeshConfig(data=4, fsdp=3), chips(3))


@pytest.mark.parametrize(
    ("slices", "sizes", "fsdp"),
    [
        (1, {}, 4),
        (8, {}, 4),
        (1, {"data": 2}, 2),
        (1, {"data": -1, "tensor": 2}, 2),
        (2, {"data": 4}, 2),
    ],
)
def test_what_is_chosen_stays_within_a_slice(slices: int, sizes: dict, fsdp: int) -> None:
    mesh = make_mesh(MeshConfig(**{"data": -1, **sizes, "fsdp": 0}), chips(slices))
    assert mesh.shape["fsdp"] == fsdp and mesh.size == 4 * slices


def test_no_more_than_one_axis_of_a_large_slice_is_chosen() -> None:
    square = [Chip(i, 0, i // 4, (i % 16, i // 16, 0)) for i in range(256)]
    assert dict(make_mesh(MeshConfig(fsdp=0), square).shape) == {
        "data": 16,
        "fsdp": 16,
        "tensor": 1,
    }


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({"data": -1, "fsdp": 0}, (8, 8, 1)),
        ({"data": 1, "fsdp": 0}, (1, 8, 1)),
        ({"data": 4, "fsdp": 16}, (4, 16, 1)),
        ({"data": -1, "fsdp": 8, "tensor": 2}, (4, 8, 2)),
    ],
)
def test_sides_of_a_slice_are_split_only_when_asked(sizes: dict, found: tuple[int, ...]) -> None:
    """Such as 16 on 8 x 8: two sides, of which one is shared with another axis."""
    count = 64 if sizes["data"] != 1 else 8
    square = [Chip(i, 0, i // 4, (i % 8, i // 8, 0)) for i in range(count)]
    mesh = make_mesh(MeshConfig(**sizes), square)
    assert tuple(mesh.shape.values()) == found
    assert {chip.id for chip in mesh.devices.flat} == set(range(count))


def test_elsewhere_the_devices_of_a_process_are_chosen() -> None:
    import jax

    assert make_mesh(MeshConfig(fsdp=0)).shape["fsdp"] == len(jax.devices()) == 8


def test_slices_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="mesh.slices=4, but the devices belong to 2 slices"):
        make_mesh(MeshConfig(slices=4), chips(2))
    with pytest.raises(UserError, match="mesh.slices=2, but the devices belong to 1 processes"):
        make_mesh(MeshConfig(slices=2))
