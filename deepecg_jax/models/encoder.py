"""What every encoder family offers to heads, training and export."""

from typing import NamedTuple, Protocol

import jax
from flax import nnx

Array = jax.Array


class HasTokens(Protocol):
    """The result of an encoder."""

    @property
    def tokens(self) -> Array:
        """(B, N, D)."""
        ...

    @property
    def padding(self) -> Array | None:
        """(B, N) bool, true where a token is padding; None where none is."""
        ...


class Tokens(NamedTuple):
    """The plainest such result."""

    tokens: Array
    padding: Array | None


class Encoder(nnx.Module):
    """From signals to tokens.

    Variables other than `nnx.Param` are running statistics (`nnx.BatchStat`): a call with a key
    updates them in place, and no optimizer touches them.
    """

    def __call__(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        feature_gradient: float = 1.0,
        key: Array | None = None,
    ) -> HasTokens:
        """(B, T, L) millivolts -> tokens; ``key`` trains (dropout and the like), None evaluates."""
        raise NotImplementedError


def scale_gradient(x: Array, factor: float) -> Array:
    """Identity forward, gradient times ``factor`` backward."""
    if factor == 1.0:
        return x
    return x * factor + jax.lax.stop_gradient(x * (1.0 - factor))
