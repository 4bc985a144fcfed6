"""A compiled program as XLA prints it: instructions in the order they run, loops, shapes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from deepecg_jax.plan.frames import Frames, read_frames

# bits of an element; tokens and tuples hold none
_BITS = {"pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "bf16": 16, "f16": 16}
_BITS |= {"s32": 32, "u32": 32, "f32": 32, "s64": 64, "u64": 64, "f64": 64, "c64": 64, "c128": 128}
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(
    r"\b(body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_UNKNOWN = 2**62  # XLA writes 2^63 - 1 where it has no estimate


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name, opcode: such as ``fusion.3`` and ``fusion``.
        shape: of the result, as printed, with layouts; a tuple in parentheses.
        operands: names.
        called: role (``body``, ``condition``, ``calls``, ``to_apply``, ``branch``) and name of each
            computation that it runs.
        attributes: all that stands after the operands.
        root: whether it is the result of its computation.
    """

    name: str
    opcode: str
    shape: str
    operands: tuple[str, ...]
    called: tuple[tuple[str, str], ...]
    attributes: str = field(repr=False)
    root: bool = False

    @property
    def cycles(self) -> int | None:
        """XLA:TPU's estimate of one execution; None where it gives none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        cycles = int(found[1]) if found else _UNKNOWN
        return cycles if cycles < _UNKNOWN else None

    @property
    def bytes(self) -> int:
        """Of the result, without padding."""
        return size_of(self.shape)

    @property
    def channel(self) -> str | None:
        """The number that the parts of one transfer between devices share."""
        return self._first(r"\bchannel_id=(\d+)")

    @property
    def target(self) -> str | None:
        """What a custom call calls."""
        return self._first(r'custom_call_target="([^"]*)"')

    @property
    def op_name(self) -> str:
        """The way to the line of Python through JAX's transformations; empty where there is none"""
        return self._first(r'op_name="([^"]*)"') or ""

    @property
    def frame(self) -> int | None:
        """Number of the stack frame in which it was traced."""
        found = self._first(r"stack_frame_id=(\d+)")
        return None if found is None else int(found)

    def calls(self, *roles: str) -> list[str]:
        """Computations that it runs in these roles, or in any."""
        return [name for role, name in self.called if not roles or role in roles]

    def _first(self, pattern: str) -> str | None:
        found = re.search(pattern, self.attributes)
        return found[1] if found else None


@dataclass(frozen=True)
class Program:
    """Computations by name, which of them is the program, and where its lines come from."""

    computations: dict[str, tuple[Instruction, ...]]
    entry: str
    frames: Frames

    def inside(self, instruction: Instruction) -> Iterator[Instruction]:
        """What a fusion is made of, fusions in it included."""
        for name in instruction.calls("calls"):
            for inner in self.computations.get(name, ()):
                yield inner
                if inner.opcode == "fusion":
                    yield from self.inside(inner)

    def trips(self, loop: Instruction) -> int | None:
        """How often the body of a ``while`` runs; None if the program does not say.

        From XLA's annotation, or else from the constant that the condition compares the counter
        with: JAX's loops count up from 0 by 1.
        """
        known = loop._first(r'"known_trip_count":\{"n":"(\d+)"\}')
        if known is not None:
            return int(known)
        condition = [
            inner for name in loop.calls("condition") for inner in self.computations.get(name, ())
        ]
        constants = [
            int(found[1])
            for inner in condition
            if inner.opcode == "constant"
            and (found := re.match(r"\((\d+)\)", inner.attributes))
            and inner.shape.startswith(("s32[]", "u32[]", "s64[]"))
        ]
        compared = any(inner.opcode in ("compare", "fusion") for inner in condition)
        return constants[0] if compared and len(constants) == 1 else None


def size_of(shape: str) -> int:
    """Bytes of the arrays in a printed shape, without padding."""
    bits = 0
    for kind, sizes in _ARRAY.findall(shape):
        count = 1
        for size in sizes.split(","):
            count *= int(size) if size else 1
        bits += count * _BITS.get(kind, 8)  # the others are float8
    return bits // 8


def dtypes_of(shape: str) -> set[str]:
    """Of the arrays of a printed shape that hold floating-point numbers."""
    found = {dtype for dtype, _ in _ARRAY.findall(shape)}
    return {dtype for dtype in found if "f" in dtype}


def read_program(text: str) -> Program:
    """Parse ``compiled.as_text()``; ValueError if that is no program."""
    lines = text.splitlines()
    computations: dict[str, tuple[Instruction, ...]] = {}
    entry, current, body = "", "", []
    for line in lines:
        if not current:
            head = None if line.startswith(" ") else _HEAD.match(line)
            if head is not None:
                current, body = head[2], []
                entry = current if head[1] else entry
        elif line.startswith("}"):
            computations[current], current = tuple(body), ""
        elif (instruction := _instruction(line)) is not None:
            body.append(instruction)
    if not entry:
        raise ValueError("no entry computation: this is no compiled program")
    return Program(computations, entry, read_frames(lines))


def _instruction(line: str) -> Instruction | None:
    start = _INSTRUCTION.match(line)
    if start is None:
        return None
    rest = line[start.end() :]
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.find(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    close = _closing(rest, len(opcode))
    inputs, attributes = rest[len(opcode) + 1 : close], rest[close + 1 :]
    if opcode == "constant":
        attributes = f"({inputs}){attributes}"
    called = [(role, name) for role, name in _CALLED.findall(attributes)]
    called = [("branch" if "_computation" in role else role, name) for role, name in called]
    for branches in _BRANCHES.findall(attributes):
        called += [("branch", name.strip().lstrip("%")) for name in branches.split(",")]
    operands = tuple(re.findall(r"%([\w.\-]+)", inputs))
    return Instruction(start[2], opcode, shape, operands, tuple(called), attributes, bool(start[1]))


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at or after ``start`` closes."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.start()
    return len(text)
