"""What a compiled step costs on its chip: operations, transfers, and what has no estimate."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from deepecg_jax.plan.chips import Chip
from deepecg_jax.plan.collectives import Place, kind_of
from deepecg_jax.plan.hlo import Instruction, Program
from deepecg_jax.plan.overlap import Sent, collectives
from deepecg_jax.plan.timing import Timing

# they move nothing, or what they move is counted elsewhere
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "async-start",
    "async-update",
    "partition-id",
    "replica-id",
    "after-all",
    "opt-barrier",
    "recv",
}
_FREE_CALLS = {"AllocateBuffer", "AsyncCollectiveStart", "AsyncCollectiveDone", "SliceId"}


class Operation(NamedTuple):
    """All executions in a step of what one line of Python became.

    ``by``: whose estimate it is, ``xla`` or ``kernel`` (`timing.KERNEL_FACTOR`).
    """

    op: str
    source: str
    seconds: float
    times: int
    by: str


class Unestimated(NamedTuple):
    """Instructions of one kind without an estimate: how many a step, and what they move."""

    op: str
    times: int
    bytes: int
    asynchronous: bool


class Estimate(NamedTuple):
    """Of one step on one device.

    Attributes:
        operations: the most expensive first.
        sent: collectives.
        unestimated: what is in no sum, the largest first.
        unknown_loops: loops of unknown length, counted once.
    """

    operations: list[Operation]
    sent: list[Sent]
    unestimated: list[Unestimated]
    unknown_loops: int

    @property
    def compute_seconds(self) -> float:
        """Operations, by XLA:TPU's estimates, and kernels, by ours."""
        return sum(operation.seconds for operation in self.operations)

    @property
    def exposed_seconds(self) -> float:
        """Transfers that no computing hides."""
        return sum(one.times * one.exposed for one in self.sent)

    @property
    def seconds(self) -> float:
        """A step."""
        return self.compute_seconds + self.exposed_seconds

    def unestimated_seconds(self, chip: Chip) -> float:
        """At most, for what has no estimate and does not run beside other work: read once and
        written once at the bandwidth of the memory.
        """
        waiting = sum(one.bytes for one in self.unestimated if not one.asynchronous)
        return 2 * waiting / chip.hbm_bandwidth


def estimate(program: Program, chip: Chip, places: Sequence[Place]) -> Estimate:
    """Add up a program.

    places: of the devices, in the order of its mesh (`topology.coordinates`).
    """
    timing = Timing(program, chip)
    seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    rest: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for computation, times in timing.executions.items():
        body = program.computations.get(computation, ())
        shapes = {instruction.name: instruction.shape for instruction in body}
        for instruction in body:
            cost = timing.own(instruction, shapes)
            if cost is not None:
                key = (*label(program, instruction), cost.by)
                seconds[key] += times * cost.seconds
                counts[key] += times
            elif _moves(instruction):
                entry = rest[instruction.target or instruction.opcode]
                entry[0] += times
                entry[1] += times * _moved(instruction)
    operations = [
        Operation(op, source, spent, counts[op, source, by], by)
        for (op, source, by), spent in seconds.items()
    ]
    unestimated = [
        Unestimated(op.removesuffix("-start"), times, size, op.endswith("-start"))
        for op, (times, size) in rest.items()
    ]
    return Estimate(
        sorted(operations, key=lambda one: -one.seconds),
        collectives(timing, places),
        sorted(unestimated, key=lambda one: -one.bytes),
        len(timing.unknown_loops),
    )


def _moves(instruction: Instruction) -> bool:
    return not (
        instruction.opcode in _FREE
        or instruction.opcode.endswith("-done")
        or instruction.target in _FREE_CALLS
        or kind_of(instruction) is not None
    )


def _moved(instruction: Instruction) -> int:
    """Bytes of the result; of a first half, which also holds what goes in, the first array."""
    if not instruction.opcode.endswith("-start"):
        return instruction.bytes
    first = instruction.shape.lstrip("(").partition("]")[0] + "]"
    return Instruction("", "", first, (), (), "").bytes


def label(program: Program, instruction: Instruction) -> tuple[str, str]:
    """What an instruction is, as its author would know it, and the line it comes from.

    Of a fusion with a matrix product that product's, else its own, else that of the first
    instruction in it that has a line.
    """
    inside = list(program.inside(instruction)) if instruction.opcode == "fusion" else []
    products = [inner for inner in inside if inner.opcode in ("convolution", "dot")]
    for one in (*products, instruction, *inside):
        source = program.frames.source(one.frame)
        if source:
            return _short(one), source
    return _short(instruction), ""


def _short(instruction: Instruction) -> str:
    """``dot_general, backward`` of ``jit(step)/transpose(jvp())/while/body/dot_general``."""
    path = instruction.op_name.partition(";")[0]
    if not path:
        return instruction.opcode
    name = re.sub(r"^(?:jit|jvp|transpose)\((.*)\)$", r"\1", path.rpartition("/")[2])
    return f"{name}, backward" if "transpose(" in path else name
