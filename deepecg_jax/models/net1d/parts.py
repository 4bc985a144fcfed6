"""What the blocks of both kinds share: activation, and norms that may be absent."""

from collections.abc import Callable

import jax

from deepecg_jax.models.blocks.batch_norm import BatchNorm
from deepecg_jax.models.net1d.shape import Net1DShape

Array = jax.Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": jax.nn.relu, "swish": jax.nn.silu}


def norm_of(config: Net1DShape, width: int) -> BatchNorm | None:
    """The batch normalisation of ``width`` channels, or None where the network has none."""
    if not config.batch_norm:
        return None
    return BatchNorm(width, config.norm_momentum, config.norm_groups)


def normed(norm: BatchNorm | None, x: Array, training: bool) -> Array:
    """(B, T, C) -> (B, T, C), by the batch in training; as it is without a norm."""
    return x if norm is None else norm(x, training)
