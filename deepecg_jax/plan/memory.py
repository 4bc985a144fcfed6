"""What a train step holds in the memory of one device."""

import math
from typing import Any, TypedDict

import jax

from deepecg_jax.training.program import StepProgram


class Memory(TypedDict):
    """Bytes a device, by kind; null where only a finished compilation knows.

    ``padding`` is what the layouts of the arguments add to them, ``temporaries`` what lives within
    a step, ``output_not_aliased`` results that do not take the place of an argument, ``program``
    the machine code.
    """

    parameters: int
    optimizer_state: int
    moving_average: int
    teacher: int
    statistics: int
    batch: int
    padding: int | None
    temporaries: int | None
    output_not_aliased: int | None
    program: int | None


def arguments_of(program: StepProgram) -> Memory:
    """What goes in, from shapes and shardings alone."""
    state = program.state
    return {
        "parameters": bytes_a_device(state["params"]) + bytes_a_device(program.step.frozen),
        "optimizer_state": bytes_a_device(state["opt_state"]) + bytes_a_device(state["step"]),
        "moving_average": bytes_a_device(state.get("ema", {})),
        "teacher": bytes_a_device(state.get("teacher", {})),
        "statistics": bytes_a_device(state.get("statistics", {})),
        "batch": bytes_a_device(program.batch),
        "padding": None,
        "temporaries": None,
        "output_not_aliased": None,
        "program": None,
    }


def with_compiled(arguments: Memory, compiled: jax.stages.Compiled) -> Memory:
    """The same with what the compiler planned."""
    planned: Any = compiled.memory_analysis()  # a type of jaxlib's extension module
    known = sum(value for value in arguments.values() if isinstance(value, int))
    return {
        **arguments,
        "padding": int(planned.argument_size_in_bytes) - known,
        "temporaries": int(planned.temp_size_in_bytes),
        "output_not_aliased": int(planned.output_size_in_bytes - planned.alias_size_in_bytes),
        "program": int(planned.generated_code_size_in_bytes),
    }


def total(memory: Memory) -> int:
    """All kinds that are known."""
    return sum(value for value in memory.values() if isinstance(value, int))


def bytes_a_device(tree: Any) -> int:
    """Of arrays or shapes with shardings, nested in any way; unpadded."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )
