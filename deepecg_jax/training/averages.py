"""Averaged copies of the weights: the moving average that is kept, and a teacher."""

import math
from dataclasses import dataclass
from typing import Literal, cast

import jax
import jax.numpy as jnp

from deepecg_jax.training.types import Array, L, Nested, Weights


@dataclass(frozen=True)
class Teacher:
    """Which part of the weights a training keeps an averaged copy of, and how slowly that follows.

    After update t (from 0) of a training of ``steps`` updates

        teacher <- d(t) teacher + (1 - d(t)) weights

    where d goes from ``start`` to ``end``, along a straight line (I-JEPA: Assran et al. 2023)
    or half a cosine (BYOL: Grill et al. 2020). It begins as a copy of the weights, is float32,
    includes running statistics, and gets no gradient.

    Attributes:
        start, end: decay at the first update and after the last; equal for a constant one.
        steps: updates of the whole training.
        kind: the way from ``start`` to ``end``.
        part: attribute of the trained module that is averaged; None: all of it.
    """

    start: float
    end: float
    steps: int
    kind: Literal["linear", "cosine"] = "linear"
    part: str | None = "encoder"

    def __post_init__(self) -> None:
        if not (0 <= self.start <= 1 and 0 <= self.end <= 1 and self.steps >= 1):
            raise ValueError(f"decays are from 0 to 1 and steps positive, not {self}")

    def share(self, step: Array) -> Array:
        """1 - d(step), the share of the new weights, float32."""
        first, last = 1.0 - self.start, 1.0 - self.end
        way = jnp.clip(step.astype(jnp.float32) / self.steps, 0.0, 1.0)
        if self.kind == "cosine":
            way = 0.5 * (1.0 - jnp.cos(math.pi * way))
        return first + (last - first) * way

    def of(self, weights: Nested[L]) -> Nested[L]:
        """The part of ``weights`` that is averaged; ValueError if there is none of that name."""
        if self.part is None:
            return weights
        part = weights.get(self.part)
        if not isinstance(part, dict):
            raise ValueError(
                f"there is no {self.part!r} to average among {', '.join(weights) or 'no weights'}"
            )
        return part

    def begin(self, weights: Weights) -> Weights:
        """The copy before the first update."""
        return jax.tree.map(_widened, self.of(weights))

    def follow(self, teacher: Weights, weights: Weights, step: Array) -> Weights:
        """The copy after update ``step``, which made ``weights``."""
        return moved(teacher, self.of(weights), self.share(step))


def moved(mean: Weights, now: Weights, share: Array) -> Weights:
    """``mean`` moved towards ``now`` by ``share``; counts are taken as they are."""
    return jax.tree.map(lambda new, old: _moved(new, old, share), now, mean)


def ema_share(decay: float, step: Array) -> Array:
    """How far the moving average moves in update ``step``.

    The early average follows the weights closely: the decay is at most (1 + step) / (10 + step).
    """
    return 1.0 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))


def _moved(now: Array, mean: Array, share: Array) -> Array:
    if not jnp.issubdtype(now.dtype, jnp.floating):
        return now
    # equal numbers stay equal, to the bit: constants of a model must not drift by rounding
    return jnp.where(now == mean, mean, share * now + (1.0 - share) * mean)


def _widened(leaf: Array) -> Array:
    """A copy, so that the state holds no buffer twice; floating numbers as float32."""
    wide = jnp.float32 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype
    return cast(Array, jnp.array(leaf, wide, copy=True))
