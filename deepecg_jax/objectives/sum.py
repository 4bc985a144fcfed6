"""A weighted sum of objectives: each with passes, heads and randomness of its own."""

from collections.abc import Mapping
from typing import Annotated, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from pydantic import Field, SerializeAsAny, model_validator

from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.objective import (
    Batch,
    Draw,
    Metrics,
    ObjectiveConfig,
    Seen,
    TeacherDecay,
)
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import SignalContract

Array = jax.Array
Name = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")]


class Term(Settings):
    """An objective and its weight."""

    weight: float = Field(default=1.0, ge=0, description="0: it is computed, and learns nothing")
    objective: SerializeAsAny[ObjectiveConfig]


class SumSettings(ObjectiveConfig):
    """The sum of weight times loss over named terms.

    `kinds` knows which objectives there are, so it says how a term is read (``terms``).
    """

    kind: str = "sum"
    terms: Mapping[Name, Term] = Field(
        min_length=1, description="by name: weight (1) and objective, a section with its kind"
    )

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        wanted = {name: term.objective.teacher for name, term in self.terms.items()}
        speeds = {name: teacher[:3] for name, teacher in wanted.items() if teacher is not None}
        if len(set(speeds.values())) > 1:
            said = ", ".join(
                f"{name} {start:g} to {end:g} ({kind})"
                for name, (start, end, kind) in speeds.items()
            )
            raise ValueError(
                "there is one averaged copy of the encoder, but terms want its decay to be "
                f"{said}; give them the same"
            )
        return self

    @property
    def columns(self) -> frozenset[str]:
        """What any term needs."""
        return frozenset().union(*(term.objective.columns for term in self.terms.values()))

    @property
    def whole(self) -> bool:
        """Whether any term leaves padded ECGs out."""
        return any(term.objective.whole for term in self.terms.values())

    @property
    def teacher(self) -> TeacherDecay | None:
        """That of the terms which want one; with heads if any of them does."""
        wanted = [term.objective.teacher for term in self.terms.values()]
        found = [teacher for teacher in wanted if teacher is not None]
        if not found:
            return None
        return found[0]._replace(heads=any(teacher.heads for teacher in found))

    def check(self, encoder: EncoderConfig) -> None:
        """UserError of the first term that refuses the encoder."""
        for term in self.terms.values():
            term.objective.check(encoder)

    def check_signals(self, encoder: EncoderConfig, contract: SignalContract, where: str) -> None:
        """UserError of the first term that refuses the ECGs."""
        for term in self.terms.values():
            term.objective.check_signals(encoder, contract, where)

    def seen(self, n_samples: int, sampling_rate: float) -> tuple[Seen, ...]:
        """The passes of all terms: none is shared."""
        terms = self.terms.values()
        return tuple(one for t in terms for one in t.objective.seen(n_samples, sampling_rate))

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """The parts of each term, its name before theirs."""
        return {
            f"{name}.{part}": count
            for name, term in self.terms.items()
            for part, count in term.objective.flops(encoder, n_samples, batch).items()
        }

    def heads(self, encoder: EncoderConfig, key: Array) -> nnx.Dict:
        """The heads of each term by its name."""
        return nnx.Dict(
            {
                name: term.objective.heads(encoder, named_key(key, name))
                for name, term in self.terms.items()
            }
        )

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """The weighted sum, and the metrics of each term, its name before theirs."""
        assert isinstance(heads, nnx.Dict)
        total = jnp.zeros((), jnp.float32)
        metrics: Metrics = {}
        for name, term in self.terms.items():
            averaged = draw.teacher_heads
            own = draw._replace(
                key=named_key(draw.key, name),
                teacher_heads=averaged[name] if isinstance(averaged, nnx.Dict) else None,
            )
            loss, found = term.objective.loss(encoder, heads[name], batch, own, dtype)
            total = total + term.weight * loss
            metrics |= {f"{name}.{metric}": value for metric, value in found.items()}
        return total, {"loss": total, **metrics}
