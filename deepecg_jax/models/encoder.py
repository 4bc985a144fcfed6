"""What every encoder family offers to objectives, heads, training, cost and export."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import jax
from flax import nnx
from jax.typing import DTypeLike
from pydantic import Field, model_validator

from deepecg_jax.settings import Settings

Array = jax.Array
Samples = TypeVar("Samples", int, Array)


class Features(NamedTuple):
    """The first half of an encoder: one vector a token, before any context."""

    values: Array  # (B, N, C)
    penalty: Array  # scalar float32 that some objectives keep small; 0 where a family has none
    padding: Array | None  # (B, N) bool, true where a token is padding; None where none is


class Tokens(NamedTuple):
    """The second half: the same tokens in their context, the result of an encoder."""

    tokens: Array  # (B, N, D)
    padding: Array | None  # (B, N) bool, true where a token is padding; None where none is
    summary: Array | None = None  # (B, D), a token beside them that stands for all; None: no such


class Encoder(nnx.Module):
    """From signals to tokens, in two halves.

    Both halves are given the same key, and each draws from its own part of it.

    Variables other than `nnx.Param` are running statistics (`nnx.BatchStat`): a call with a key
    updates them in place, and no optimizer touches them. Those of `constants.Constant` stay as they
    are.
    """

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """One vector a token, (B, T, L) millivolts -> (B, N, C).

        signal: masked leads are zero.
        valid_samples: (B,) int, samples before zero padding begins, or None if none is padded.
        gradient: factor on the gradient that reaches the stem.
        key: randomness of training (dropout and the like); None evaluates.
        """
        raise NotImplementedError

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The tokens that know of each other, (B, N, C) -> (B, N, D).

        hidden: (B, N) bool, tokens that the context must do without, or None; only families whose
            config says HIDES_TOKENS take it.
        """
        raise NotImplementedError

    def context_of(
        self,
        features: Features,
        kept: Array,
        *,
        padding: Array | None = None,
        key: Array | None = None,
    ) -> Tokens:
        """The context of some tokens alone, as if there were no others, (B, N, C) -> (B, K, D).

        Only families whose config says DROPS_TOKENS offer it: it costs what K tokens cost.

        kept: (B, K) int32, which of the N tokens, each at its own place in time.
        padding: (B, K) bool, true where an entry of ``kept`` only fills up a row, or None.
        """
        raise NotImplementedError

    def __call__(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        feature_gradient: float = 1.0,
        key: Array | None = None,
    ) -> Tokens:
        """Both halves, (B, T, L) millivolts -> (B, N, D); arguments as of `features`."""
        features = self.features(
            signal, valid_samples=valid_samples, gradient=feature_gradient, key=key
        )
        return self.context(features, key=key)


class EncoderConfig(Settings):
    """Shape and regularisation of an encoder, and what its family can do.

    A family is a subclass with ``kind: str = "its name"``, in the table of `models.families`. A
    ``ClassVar`` holds for the whole family, a property depends on the configuration.
    """

    # the context can do without tokens that are hidden from it
    HIDES_TOKENS: ClassVar[bool] = False
    # the context can be computed of some tokens alone (`Encoder.context_of`)
    DROPS_TOKENS: ClassVar[bool] = False
    # its tokens come with a summary
    SUMMARISES: ClassVar[bool] = False
    # the features know nothing of tokens further away: predicting one from others is a task
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = False
    # attributes of the encoder that make the features: a group of their own for learning rates
    STEM: ClassVar[tuple[str, ...]] = ("stem",)
    # what a training may choose anew for weights that exist
    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = ()
    # those of them that change speed and memory but no number: free in a run that is resumed
    SPEED_FIELDS: ClassVar[tuple[str, ...]] = ()
    # keys of older versions that are not the encoder's any more: dropped when a file is read
    OLDER_FIELDS: ClassVar[tuple[str, ...]] = ()

    kind: str
    leads: int = Field(default=12, ge=1, description="input channels")
    width: int = Field(ge=1, description="width D of a token")

    @model_validator(mode="after")
    def _own_kind(self) -> Self:
        own = type(self).model_fields["kind"].default
        if self.kind != own:
            raise ValueError(f"kind={self.kind} is not {own}")
        return self

    @property
    def causal(self) -> bool:
        """Whether a token of the context depends on earlier tokens only."""
        return False

    @property
    def feature_width(self) -> int:
        """Width C of a feature."""
        return self.width

    @property
    def token_groups(self) -> int:
        """Tokens that stand for the same time, each for some leads, in the order of the leads: 1
        where a token is of all leads. The N tokens are those of the first group in time, then those
        of the second, and so on.
        """
        return 1

    @property
    def samples_per_token(self) -> int:
        """Samples from one token of a group to the next."""
        raise NotImplementedError

    def n_tokens(self, n_samples: Samples) -> Samples:
        """Tokens for a signal of ``n_samples`` samples; of an array the same for each entry."""
        return n_samples // self.samples_per_token

    @property
    def attention_heads(self) -> int:
        """Heads of an attention head that does not name its own: 8, or what divides the width."""
        return math.gcd(self.width, 8)

    @property
    def title(self) -> str:
        """Family and named shape."""
        return self.kind

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        return (
            f"{self.kind} encoder of width {self.width}, one token every "
            f"{self.samples_per_token} samples"
        )

    def identity(self) -> dict[str, Any]:
        """All fields that numbers depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.SPEED_FIELDS))

    def build(self, key: Array) -> Encoder:
        """A freshly initialised encoder."""
        raise NotImplementedError

    def flops(self, n_samples: int, batch: int = 1) -> Mapping[str, float] | None:
        """Operations of the matrix products of ``batch`` ECGs computed at once, by part, two for
        each multiplication and addition; None where the family does not count them.
        """
        return None

    def ways(self, dtype: DTypeLike) -> str:
        """How training computes it on the platform in use (`sharding.platform`), in a clause for
        people; empty where there is nothing to choose.

        Raises:
            UserError: a setting asks for what that platform cannot do.
        """
        del dtype
        return ""

    def unrolled(self) -> "EncoderConfig":
        """The same encoder without loops, whose operations XLA can count."""
        return self

    def check_batch(self, size: int) -> None:
        """ValueError if no training step can take a batch (an accumulation part) of ``size``."""


def scale_gradient(x: Array, factor: float) -> Array:
    """Identity forward, gradient times ``factor`` backward."""
    if factor == 1.0:
        return x
    return x * factor + jax.lax.stop_gradient(x * (1.0 - factor))
