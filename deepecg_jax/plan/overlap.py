"""Which transfers between devices run beside computing, and how much of them it hides."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deepecg_jax.plan.collectives import Place, Transfer, kind_of, transfer
from deepecg_jax.plan.hlo import Instruction
from deepecg_jax.plan.timing import Timing


class Sent(NamedTuple):
    """One collective of a program and a step.

    Attributes:
        kind: such as ``all-reduce``.
        times: executions a step.
        transfer: one execution.
        exposed: seconds of one execution that no computing hides.
        asynchronous: other work is scheduled while it runs.
        instruction: for its name and line.
    """

    kind: str
    times: int
    transfer: Transfer
    exposed: float
    asynchronous: bool
    instruction: Instruction


def collectives(timing: Timing, places: Sequence[Place]) -> list[Sent]:
    """Every collective of a step, once: parts of one transfer share a channel.

    A transfer in two halves is hidden by what is scheduled between them, one inside fusions by
    those fusions; a second of computing hides a second of one transfer, not of several.
    """
    found: dict[tuple[str, str], Sent] = {}
    for computation, times in timing.executions.items():
        for sent in _of_computation(timing, places, computation, times):
            key = (sent.kind, sent.instruction.channel or sent.instruction.name)
            before = found.get(key)
            if before is None or before.times * before.exposed < sent.times * sent.exposed:
                found[key] = sent
    return list(found.values())


def _of_computation(
    timing: Timing, places: Sequence[Place], computation: str, times: int
) -> Iterator[Sent]:
    body = timing.program.computations.get(computation, ())
    shapes = {instruction.name: instruction.shape for instruction in body}
    position = {instruction.name: index for index, instruction in enumerate(body)}
    # seconds of each instruction that can still hide something
    free = [timing.of_instruction(instruction, shapes) for instruction in body]
    ends = _second_halves(body)
    fused: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    of_channel: dict[tuple[str, str], tuple[Instruction, str]] = {}
    for index, instruction in enumerate(body):
        kind = kind_of(instruction)
        if kind is not None:
            end = ends.get(instruction.name)
            result = instruction.shape
            if end is not None and kind != "send":
                result = end.shape
            elif kind == "send":
                result = shapes.get(instruction.operands[0], "") if instruction.operands else ""
            one = transfer(kind, instruction, result, places, timing.chip)
            between = [] if end is None else list(range(index + 1, position[end.name]))
            beside = any(free[i] > 0 for i in between)
            hidden = _hide(free, between, one.seconds)
            yield Sent(kind, times, one, one.seconds - hidden, beside, instruction)
        elif instruction.opcode == "fusion":
            inside = list(timing.program.inside(instruction))
            cut = any(inner.root and inner.opcode == "dynamic-slice" for inner in inside)
            for inner in inside:
                kind, result = kind_of(inner), inner.shape
                if kind == "all-reduce" and cut:
                    # how XLA:TPU writes a sum of which each device keeps a part
                    kind, result = "reduce-scatter", instruction.shape
                if kind is not None:
                    key = (kind, inner.channel or inner.name)
                    fused[key].append(index)
                    of_channel[key] = (inner, result)
    for key, indices in fused.items():
        inner, result = of_channel[key]
        one = transfer(key[0], inner, result, places, timing.chip)
        hidden = _hide(free, sorted(set(indices)), one.seconds)
        yield Sent(key[0], times, one, one.seconds - hidden, hidden > 0, inner)


def _second_halves(body: Sequence[Instruction]) -> dict[str, Instruction]:
    """Of each first half, by name, the instruction that waits for it."""
    return {
        instruction.operands[0]: instruction
        for instruction in body
        if instruction.opcode.endswith("-done") and instruction.operands
    }


def _hide(free: list[float], indices: Sequence[int], seconds: float) -> float:
    """Take up to ``seconds`` from ``free`` at ``indices``; what was found."""
    left = seconds
    for index in indices:
        taken = min(free[index], left)
        free[index] -= taken
        left -= taken
    return seconds - left
