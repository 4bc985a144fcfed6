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
