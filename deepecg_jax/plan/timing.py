"""How long the computations of a program take, and how often each is run."""

import re
from collections import Counter
from functools import cached_property
from typing import NamedTuple

from deepecg_jax.plan.chips import Chip
from deepecg_jax.plan.hlo import Instruction, Program, size_of

# of a kernel of Pallas over its bound: no kernel reaches the bound, and plain products are
# estimated at 1.08 to 1.42 times theirs (`chips.Chip.calibration`)
KERNEL_FACTOR = 1.5
_KERNELS = ("tpu_custom_call",)


class Cost(NamedTuple):
    """Of one execution. ``by`` is ``xla``, or ``kernel`` for our own estimate of a kernel."""

    seconds: float
    by: str


class Timing:
    """Times of a program on a chip, by XLA:TPU's own estimates.

    Attributes:
        unknown_loops: loops whose length the program does not say: they count once.
    """

    def __init__(self, program: Program, chip: Chip):
        self.program, self.chip = program, chip
        self.unknown_loops: set[str] = set()
        self._seconds: dict[str, float] = {}

    def own(self, instruction: Instruction, shapes: dict[str, str]) -> Cost | None:
        """Of an instruction without what it calls; None where nobody has an estimate.

        shapes: of all results of its computation, by name.
        """
        cycles = instruction.cycles
        if cycles is not None:
            return Cost(cycles / self.chip.clock, "xla")
        if instruction.target in _KERNELS:
            return Cost(self._kernel(instruction, shapes), "kernel")
        return None

    def _kernel(self, instruction: Instruction, shapes: dict[str, str]) -> float:
        """The larger of FLOPs over peak and bytes over bandwidth, times `KERNEL_FACTOR`; of a
        kernel that states neither, the bytes of what goes in and out.
        """
        stated = re.search(r'"cost_estimate":\{([^}]*)\}', instruction.attributes)
        told = dict(re.findall(r'"(\w+)":"(\d+)"', stated[1])) if stated else {}
        moved = instruction.bytes + sum(size_of(shapes.get(n, "")) for n in instruction.operands)
        flops, size = int(told.get("flops", 0)), int(told.get("bytes_accessed", 0)) or moved
        return KERNEL_FACTOR * max(flops / self.chip.peak, size / self.chip.hbm_bandwidth)

    def of_instruction(self, instruction: Instruction, shapes: dict[str, str]) -> float:
        """Seconds of one execution, what it calls included: loops by their trips, and of the
        branches of a conditional the longest.
        """
        cost = self.own(instruction, shapes)
        own = 0.0 if cost is None else cost.seconds
        if instruction.opcode == "conditional":
            return own + self.of_computation(self.longest_branch(instruction))
        return own + sum(
            times * self.of_computation(name) for name, times in self.steps(instruction)
        )

    def of_computation(self, name: str) -> float:
        """Seconds of one execution of a computation."""
        if name not in self._seconds:
            body = self.program.computations.get(name, ())
            shapes = {instruction.name: instruction.shape for instruction in body}
            self._seconds[name] = sum(self.of_instruction(one, shapes) for one in body)
        return self._seconds[name]

    def longest_branch(self, conditional: Instruction) -> str:
        """The branch that takes longest; of equal ones the longest text."""
        return max(
            conditional.calls("branch"),
            key=lambda n: (self.of_computation(n), len(self.program.computations.get(n, ()))),
        )

    def steps(self, instruction: Instruction) -> list[tuple[str, int]]:
        """The computations that an instruction runs one after the other, and how often; those
        inside a fusion or an element-wise rule are part of the instruction.
        """
        if instruction.opcode == "while":
            trips = self.program.trips(instruction)
            if trips is None:
                self.unknown_loops.add(instruction.name)
                trips = 1
            return [(name, trips) for name in instruction.calls("body")]
        if instruction.opcode == "conditional":
            return [(self.longest_branch(instruction), 1)]
        if instruction.opcode == "call":
            return [(name, 1) for name in instruction.calls()]
        if instruction.opcode == "async-start":
            return [(name, 1) for name in instruction.calls("calls")]
        return []

    @cached_property
    def executions(self) -> Counter[str]:
        """How often a step runs each computation that is not part of an instruction."""
        found: Counter[str] = Counter()

        def visit(name: str, times: int) -> None:
            found[name] += times
            for instruction in self.program.computations.get(name, ()):
                for inner, often in self.steps(instruction):
                    visit(inner, times * often)

        visit(self.program.entry, 1)
        return found
