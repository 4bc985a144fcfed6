"""What a loss may use beside weights and batch."""

from typing import Generic, NamedTuple, TypeVar

import jax

T = TypeVar("T")


class Draw(NamedTuple, Generic[T]):
    """The part of a training step that changes from step to step.

    Attributes:
        key: the step's randomness, a function of (seed, step).
        step: scalar int32, updates finished before this one.
        teacher: the averaged copy of the encoder that the step maintains, for objectives that
            declare one, else None: weights inside the step, a module inside an objective.
    """

    key: jax.Array
    step: jax.Array
    teacher: T | None = None
