"""What passes between the parts of training: weights, batches, metrics, the state, a loss."""

from collections.abc import Callable, Iterator, Mapping
from typing import NotRequired, Protocol, TypeAlias, TypedDict, TypeVar, Union

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding
from pydantic import JsonValue

from deepecg_jax.objectives.objective import Draw

Array = jax.Array
L = TypeVar("L")
M = TypeVar("M", bound=nnx.Module)

Nested: TypeAlias = dict[str, Union[L, "Nested[L]"]]
"""A tree of dicts; a list in a module is a dict by position."""

Weights: TypeAlias = Nested[Array]
"""The arrays of a module by the names of its attributes; ``{}`` where there are none."""

Shardings: TypeAlias = Nested[NamedSharding]
"""Where each array of such a tree is."""

Batch: TypeAlias = dict[str, Array]
"""Arrays by feature, (B, ...), spread over the devices."""

HostBatch: TypeAlias = dict[str, np.ndarray]
"""The rows of a batch that this process reads."""

Metrics: TypeAlias = Mapping[str, Array | Weights]
"""Scalars by name, ``loss`` among them. Under ``statistics`` stand the running statistics after the
pass, where the model has any (see `new_statistics`).
"""

Build: TypeAlias = Callable[[Array], M]
"""From a key to a module with new weights."""

BatchesFrom: TypeAlias = Callable[[int, np.ndarray], Iterator[HostBatch]]
"""(step, rows of a batch that this process reads) -> endless batches from that step on."""


Metadata: TypeAlias = Mapping[str, JsonValue]
"""What is stored with each checkpoint; ``signal``, ``model`` and ``seed`` must not change."""


class Best(TypedDict):
    """The complete weights with the best validation so far.

    ``score``: their macro AUROC, -inf before the first; ``stale``: validations since then.
    """

    params: Weights
    score: Array
    stale: Array


class State(TypedDict):
    """All that a training carries from step to step, a plain dict in memory and in a checkpoint.

    ``step``: updates finished. ``params``: what is trained. ``statistics``: running statistics,
    which the forward pass updates and no optimizer touches. ``ema``: moving average of the weights.
    ``teacher``: averaged copy of a part of them, or of all, that a loss may use. The weights in the
    last three and in ``best`` include statistics.
    """

    step: Array
    params: Weights
    opt_state: optax.OptState
    statistics: NotRequired[Weights]
    ema: NotRequired[Weights]
    teacher: NotRequired[Weights]
    best: NotRequired[Best]


class StateShardings(TypedDict):
    """Where each array of a `State` is."""

    step: NamedSharding
    params: Shardings
    opt_state: optax.OptState
    statistics: NotRequired[Shardings]
    ema: NotRequired[Shardings]
    teacher: NotRequired[Shardings]
    best: NotRequired[Mapping[str, NamedSharding | Shardings]]


class Loss(Protocol):
    """What a training minimises: a pure function.

    It gets the complete weights (running statistics included), a batch, what changes from step to
    step, and weights that it uses but does not train. Only the first are differentiated.
    """

    def __call__(
        self, weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights, /
    ) -> tuple[Array, Metrics]:
        """The loss, a scalar float32, and metrics."""
        ...


Step: TypeAlias = Callable[[State, Batch], tuple[State, dict[str, Array]]]
"""One update: (state, batch) -> (state, scalars to log)."""
