"""What a bundle's weights belong to: encoder configuration, head and number of labels."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import TypeAdapter, ValidationError

from deepecg_jax.bundle.weights import flatten, nest
from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.families import ModelConfig
from deepecg_jax.models.heads import Classifier, HeadConfig, build_head
from deepecg_jax.models.readouts import MEAN, check_readout
from deepecg_jax.objectives.objective import ObjectiveConfig

Task = Literal["encoder", "classifier"]
Schema = TypeVar("Schema")
MODEL: TypeAdapter[EncoderConfig] = TypeAdapter(ModelConfig)
HEAD = TypeAdapter(HeadConfig)


@dataclass(frozen=True)
class Architecture:
    """An encoder, with a classification head or without (``head=None``, ``n_labels=0``)."""

    model: EncoderConfig
    head: HeadConfig | None = None
    n_labels: int = 0

    def __post_init__(self) -> None:
        if self.head is None:
            return
        if self.head.kind == "linear":
            check_readout(self.head.readout, self.model)
        elif self.head.heads and self.model.width % self.head.heads:
            raise UserError(
                f"the head's {self.head.heads} attention heads must divide the encoder's width "
                f"{self.model.width}."
            )

    @property
    def task(self) -> Task:
        """``encoder`` or ``classifier``."""
        return "encoder" if self.head is None else "classifier"

    def build(self, key: jax.Array) -> Encoder | Classifier:
        """A freshly initialised module."""
        encoder_key, head_key = jax.random.split(key)
        encoder = self.model.build(encoder_key)
        if self.head is None:
            return encoder
        return Classifier(encoder, build_head(self.head, self.model, self.n_labels, head_key))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its dotted name, without allocating any."""
        return {name: tuple(leaf.shape) for name, leaf in flatten(self._abstract()[2]).items()}

    def nested(self, weights: dict[str, Any]) -> Any:
        """Weights by dotted name -> the pure nested dict of the module's state."""
        return nest(weights, like=self._abstract()[2])

    def module(self, weights: dict[str, Any]) -> Encoder | Classifier:
        """The module with these weights, given by dotted name (all of them, checked before)."""
        graph, state, pure = self._abstract()
        dtypes = {name: leaf.dtype for name, leaf in flatten(pure).items()}  # counts are integers
        arrays = {n: jnp.asarray(value, dtypes[n]) for n, value in weights.items()}
        nnx.replace_by_pure_dict(state, nest(arrays, like=pure))
        return nnx.merge(graph, state)

    def _abstract(self) -> tuple[Any, Any, Any]:
        """(graph, abstract state, the state as a nested dict)."""
        module = nnx.eval_shape(lambda: self.build(jax.random.key(0)))
        graph, state = nnx.split(module)
        return graph, state, nnx.to_pure_dict(state)

    def to_dict(self) -> dict[str, Any]:
        """``task``, ``model`` and ``head`` as plain JSON values."""
        head = None
        if self.head is not None:
            head = self.head.completed(self.model).model_dump(mode="json")
            if self.head.readout == MEAN:
                del head["readout"]  # as earlier versions wrote it, and read it
        # how a training computed it says nothing about where it is used
        return {"task": self.task, "model": self.model.identity(), "head": head}

    @classmethod
    def from_dict(cls, values: dict[str, Any], n_labels: int, where: str) -> "Architecture":
        """Read :meth:`to_dict`'s form; UserError names ``where`` and what is wrong."""
        model = parse(MODEL, values.get("model"), f"{where}: model")
        head = values.get("head")
        head = None if head is None else parse(HEAD, head, f"{where}: head")
        architecture = cls(model, head, n_labels if head is not None else 0)
        if values.get("task") != architecture.task:
            raise UserError(
                f"{where}: task is {values.get('task')!r}, but the head makes it "
                f"{architecture.task!r}."
            )
        return architecture


def pretraining_shapes(
    objective: ObjectiveConfig, model: EncoderConfig
) -> dict[str, tuple[int, ...]]:
    """Shape of what only pretraining needs, the objective's heads, by dotted name."""
    module = nnx.eval_shape(lambda: objective.heads(model, jax.random.key(0)))
    pure = nnx.to_pure_dict(nnx.split(module)[1])
    return {name: tuple(leaf.shape) for name, leaf in flatten(pure).items()}


def parse(schema: TypeAdapter[Schema], values: Any, where: str) -> Schema:
    """Validate ``values``; the first problem becomes one UserError sentence."""
    try:
        return schema.validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}{'.' if place else ''}{place}: {message}.") from error
