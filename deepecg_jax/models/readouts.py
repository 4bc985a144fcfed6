"""From the tokens of an ECG to the one vector that a linear head reads.

A readout joins parts, each a vector an ECG: mean and maximum of the tokens, mean and maximum of the
local features before any context, or the encoder's own summary. What is padding counts in none.
Mean beside maximum, and local beside contextual, is what frozen encoders of ECGs profit from.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig, Features, Tokens
from deepecg_jax.models.pooling import max_pool, mean_pool
from deepecg_jax.models.sharding import rows_split

Array = jax.Array


class Part(NamedTuple):
    """One of the vectors that a readout joins."""

    vector: Callable[[Features, Tokens], Array]  # -> (B, W) float32
    width: Callable[[EncoderConfig], int]  # W
    missing: Callable[[EncoderConfig], str]  # what an encoder lacks for it, in words; "" if nothing


def _summary(features: Features, tokens: Tokens) -> Array:
    if tokens.summary is None:
        raise ValueError("the encoder says that it summarises, but gave no summary")
    return tokens.summary.astype(jnp.float32)


def _no_local(model: EncoderConfig) -> str:
    return "" if model.FEATURES_BEFORE_CONTEXT else "features before any context"


def _no_summary(model: EncoderConfig) -> str:
    return "" if model.SUMMARISES else "a summary beside the tokens (such as a CLS token)"


_MEAN = Part(lambda _, t: mean_pool(t.tokens, t.padding), lambda m: m.width, lambda _: "")
_MAX = Part(lambda _, t: max_pool(t.tokens, t.padding), lambda m: m.width, lambda _: "")
_LOCAL_MEAN = Part(
    lambda f, _: mean_pool(f.values, f.padding), lambda m: m.feature_width, _no_local
)
_LOCAL_MAX = Part(lambda f, _: max_pool(f.values, f.padding), lambda m: m.feature_width, _no_local)
_SUMMARY = Part(_summary, lambda m: m.width, _no_summary)

MEAN = "mean"
READOUTS: Mapping[str, tuple[Part, ...]] = {
    MEAN: (_MEAN,),
    "mean_max": (_MEAN, _MAX),
    "mean_local": (_MEAN, _LOCAL_MEAN),
    "mean_max_local": (_MEAN, _MAX, _LOCAL_MEAN, _LOCAL_MAX),
    "summary": (_SUMMARY,),
}
"""By name: the parts, in the order in which they are joined."""


def read_out(readout: str, features: Features, tokens: Tokens) -> Array:
    """One vector an ECG, (B, N, C) and (B, N, D) -> (B, `readout_width`), float32."""
    vectors = [part.vector(features, tokens) for part in READOUTS[readout]]
    return vectors[0] if len(vectors) == 1 else rows_split(jnp.concatenate(vectors, -1))


def readout_width(readout: str, model: EncoderConfig) -> int:
    """Width of the vector."""
    return sum(part.width(model) for part in READOUTS[readout])


def check_readout(readout: str, model: EncoderConfig) -> None:
    """UserError if there is no such readout, or if the encoder lacks what it reads."""
    if readout not in READOUTS:
        raise UserError(f"readout={readout} is none; there are {', '.join(READOUTS)}.")
    for part in READOUTS[readout]:
        if missing := part.missing(model):
            fitting = [
                name for name, parts in READOUTS.items() if not any(p.missing(model) for p in parts)
            ]
            raise UserError(
                f"readout={readout} needs {missing}, which an encoder of kind {model.kind} does "
                f"not have; choose {' or '.join(fitting)}."
            )
