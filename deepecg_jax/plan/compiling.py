"""Compiling a step for devices that are not there, and the answer that it does not fit."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import jax
from jax.errors import JaxRuntimeError

from deepecg_jax.config import PretrainConfig
from deepecg_jax.plan.memory import Memory, arguments_of, with_compiled
from deepecg_jax.training.mesh import make_mesh, require_divisible
from deepecg_jax.training.program import pretraining_program

Progress = Callable[[str], AbstractContextManager[None]]
"""Shows what is done while it is done."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT]?)"
# the two ways in which XLA:TPU says it, the first before temporaries are given their places; what
# it calls temporaries there is all of it (x + 1 of 8 GiB that are not given away: 16.00G)
_NEEDED = (
    rf"required for HLO temporaries \({_SIZE}\) exceeds available HBM \({_SIZE}\)",
    rf"Used {_SIZE} of {_SIZE} hbm",
)


class TooBig(NamedTuple):
    """What XLA:TPU says of a program that does not fit: bytes needed and there, each None where it
    does not say, and its sentence.
    """

    needed: int | None
    available: int | None
    message: str


class Compilation(NamedTuple):
    """One attempt.

    ``program`` is the text of the compiled program, None if it does not fit; then ``too_big`` says
    why. ``devices`` are in the order of the mesh.
    """

    devices: Sequence[Any]
    memory: Memory
    seconds: float
    program: str | None
    too_big: TooBig | None


def silent(_: str) -> AbstractContextManager[None]:
    """Shows nothing."""
    return nullcontext()


def compile_step(
    config: PretrainConfig, devices: Sequence[Any], progress: Progress = silent, where: str = ""
) -> Compilation:
    """Trace and compile the very train step of a config; nothing runs.

    where: what the devices are, for ``progress``.

    Raises:
        UserError: the mesh does not fit the devices, or the batch the mesh.
    """
    mesh = make_mesh(config.mesh, devices)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    what = f"{config.train.global_batch:,} ECGs a step for {where or len(devices)}"
    with progress(f"tracing {what}"), _whole_stacks():
        program = pretraining_program(config, mesh)
        lowered = program.lowered(mesh)
    arguments, ordered = arguments_of(program), list(mesh.devices.flat)
    start = time.perf_counter()
    with progress(f"compiling {what}"):
        try:
            compiled = lowered.compile()
        except JaxRuntimeError as error:
            too_big = read_too_big(str(error))
            if too_big is None:
                raise
            spent = time.perf_counter() - start
            return Compilation(ordered, arguments, spent, None, too_big)
    spent = time.perf_counter() - start
    memory = with_compiled(arguments, compiled)
    return Compilation(ordered, memory, spent, compiled.as_text() or "", None)


def read_too_big(message: str) -> TooBig | None:
    """An out-of-memory answer of XLA:TPU; None for any other error."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    sentence = " ".join(message.partition("See https")[0].split())
    for pattern in _NEEDED:
        found = re.search(pattern, message)
        if found:
            return TooBig(_bytes(found[1], found[2]), _bytes(found[3], found[4]), sentence)
    return TooBig(None, None, sentence)


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


@contextmanager
def _whole_stacks() -> Iterator[None]:
    """Each operation remembers all callers, so that its line in this package is among them."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, -1)
    try:
        yield
    finally:
        jax.config.update(name, before)
