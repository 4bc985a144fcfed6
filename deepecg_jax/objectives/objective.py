"""What every objective of pretraining offers, and what its loss may use."""

from collections.abc import Mapping
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

import jax
from flax import nnx
from jax.typing import DTypeLike
from pydantic import model_validator

from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.settings import Settings
from deepecg_jax.signals.contract import SignalContract

Array = jax.Array
Batch = Mapping[str, Array]
Metrics = dict[str, Array]
T = TypeVar("T")


class Draw(NamedTuple, Generic[T]):
    """The part of a training step that changes from step to step.

    Attributes:
        key: the step's randomness, a function of (seed, step).
        step: scalar int32, updates finished before this one.
        teacher: the averaged copy of the encoder that the step maintains, for objectives that
            declare one, else None: weights inside the step, a module inside an objective.
        sampling_rate: of the ECGs, Hz; static.
        teacher_heads: the averaged copy of the heads, for objectives whose `TeacherDecay` asks for
            it; in the weights inside the step it is a part of ``teacher``.
    """

    key: jax.Array
    step: jax.Array
    teacher: T | None = None
    sampling_rate: float = 250.0
    teacher_heads: nnx.Module | None = None


class TeacherDecay(NamedTuple):
    """teacher <- d teacher + (1 - d) encoder after an update; d goes from start to end.

    heads: the same is done with the heads.
    """

    start: float
    end: float
    kind: Literal["linear", "cosine"] = "linear"
    heads: bool = False


class Seen(NamedTuple):
    """What an encoder is shown of an ECG in one of its passes of a training step.

    Attributes:
        rows: pieces of the ECG.
        samples: of a piece.
        trained: false for a pass without a gradient, such as a teacher's.
    """

    rows: int
    samples: int
    trained: bool = True


class ObjectiveConfig(Settings):
    """Settings of an objective, and what it needs.

    An objective is a subclass with ``kind: str = "its name"``, in the table of `objectives.kinds`.
    """

    kind: str

    @model_validator(mode="after")
    def _own_kind(self) -> Self:
        own = type(self).model_fields["kind"].default
        if self.kind != own:
            raise ValueError(f"kind={self.kind} is not {own}")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """What a batch has beside signal and lead_mask: "patient", (B,) int32."""
        return frozenset()

    @property
    def whole(self) -> bool:
        """Whether zero-padded ECGs are left out; otherwise a batch with any has "valid_samples",
        (B,) int32.
        """
        return False

    @property
    def teacher(self) -> TeacherDecay | None:
        """How slowly the averaged copy of the encoder follows that a loss gets in its draw; None:
        there is none.
        """
        return None

    @classmethod
    def suited(cls, values: Mapping[str, Any], encoder: EncoderConfig) -> dict[str, Any]:
        """Fields as given, with what they leave open chosen to suit an encoder."""
        del encoder
        return dict(values)

    def check(self, encoder: EncoderConfig) -> None:
        """UserError, one sentence, if this objective cannot train such an encoder."""

    def check_signals(self, encoder: EncoderConfig, contract: SignalContract, where: str) -> None:
        """UserError, one sentence, if the ECGs of ``where`` do not suit, as the objective gets them
        (after ``augment``).
        """

    def seen(self, n_samples: int, sampling_rate: float) -> tuple[Seen, ...]:
        """The passes of an encoder in a step over ECGs of ``n_samples`` at ``sampling_rate`` Hz."""
        del sampling_rate
        return (Seen(1, n_samples),)

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> Mapping[str, float]:
        """Operations of the objective's own matrix products in one forward pass over ``batch`` ECGs
        of ``n_samples``, by part, two for each multiplication and addition; the encoder's are not
        among them.
        """
        del encoder, n_samples, batch
        return {}

    def heads(self, encoder: EncoderConfig, key: Array) -> nnx.Module:
        """What is trained beside the encoder and is of no use after; keys from `head_keys`."""
        del encoder, key
        return nnx.Module()

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """Loss of a batch, a scalar, and what is logged of it, ``loss`` included.

        encoder, heads: in training; dropout and the like use a part of ``draw.key``.
        batch: ``signal`` (B, T, L) int16 as stored or float millivolts (`to_millivolts`),
            ``lead_mask`` (B, L) bool, and `columns`.
        dtype: of the encoder's activations.
        """
        raise NotImplementedError


def head_keys(key: Array, count: int) -> Array:
    """Keys for the parameters of heads, of the whole pretrainer's key, whose first part is the
    encoder's.
    """
    return jax.random.split(key, count + 1)[1:]
