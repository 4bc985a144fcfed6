"""TPU slices that are not there: their devices, as libtpu describes them to its compiler."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from deepecg_jax.errors import UserError
from deepecg_jax.plan.chips import Chip, chip_named

EXAMPLES = "v5e:4x4, v5e:16x16, v4:2x2x2, v5p:4x4x4, v6e:8x8, v5e:16x16*2 (two slices)"
_NAME = re.compile(r"(?P<chip>[a-z]\w*):(?P<shape>\d+(?:x\d+){1,2})(?:\*(?P<slices>\d+))?")
# for this process alone: no TPU is looked for, none is taken from who uses it, other processes may
# compile at the same time (a lock file forbids it otherwise, for chips that really are there), and
# warnings about the absence of TPUs are kept from people
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
QUIET = {
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # which one is of no consequence to its compiler
    "TPU_WORKER_HOSTNAMES": "localhost",
    # a plan states how long compiling takes
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}


def prepare() -> None:
    """Set what libtpu and JAX read from the environment: before JAX is imported."""
    os.environ.update(ENVIRONMENT)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@dataclass(frozen=True)
class Topology:
    """A named slice, or several."""

    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def name(self) -> str:
        """As it is typed."""
        shape = "x".join(str(size) for size in self.shape)
        return f"{self.chip.name}:{shape}" + (f"*{self.slices}" if self.slices > 1 else "")


def topology_named(name: str, slices: int = 1) -> Topology:
    """``v5e:4x4``, ``v5p:4x4x4``, ``v5e:16x16*2``; UserError, with examples, for what is none.

    slices: of this shape, where the name does not say.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(
            f"{name!r} is no TPU topology: write the chip and the shape of the slice, such as "
            f"{EXAMPLES}."
        )
    count = int(found["slices"] or slices)
    if count < 1:
        raise UserError(f"{name}: the number of slices is 1 or more.")
    shape = tuple(int(size) for size in found["shape"].split("x"))
    return Topology(chip_named(found["chip"]), shape, count)


def devices_of(topology: Topology) -> list[Any]:
    """Devices to compile for; UserError if libtpu is not installed or has no such slice."""
    if find_spec("libtpu") is None:
        raise UserError(
            "planning compiles with XLA:TPU, which is not installed; `pip install "
            "'deepecg_jax[tpu]'`."
        )
    # they are types of the compiler's extension module, and jax has no stubs for them
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if topology.chip.config is not None:
        options["chip_config_name"] = topology.chip.config
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    shape = "x".join(str(size) for size in topology.shape)
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{topology.chip.name}:{shape}", **options
        )
    except JaxRuntimeError as error:
        reason = " ".join(str(error).split()).removeprefix("INVALID_ARGUMENT: ").rstrip(".")
        raise UserError(
            f"libtpu has no topology {topology.name} ({reason}); there are for example {EXAMPLES}."
        ) from error
    return list(described.devices)


def coordinates(devices: Sequence[Any]) -> list[tuple[int, ...]]:
    """Where each device is: slice, then x, y, z of its chip."""
    slices = [getattr(device, "slice_index", None) or 0 for device in devices]
    return [(int(s), *map(int, one.coords)) for s, one in zip(slices, devices, strict=True)]
