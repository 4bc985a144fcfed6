"""The only thing that pretraining trains: an encoder and the heads of an objective."""

from collections.abc import Mapping

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.augmentation.apply import viewed_batch
from deepecg_jax.objectives.augmentation.view import Change, named_key
from deepecg_jax.objectives.objective import Batch, Draw, Metrics, ObjectiveConfig

Array = jax.Array


class Pretrainer(nnx.Module):
    """An encoder of any family with the heads of an objective that accepts it.

    Args:
        model, objective: the two configurations.
        key: initial weights; the encoder takes its first part, heads the others (`head_keys`).
    """

    def __init__(self, model: EncoderConfig, objective: ObjectiveConfig, key: Array):
        self.encoder = model.build(jax.random.split(key)[0])
        self.heads = objective.heads(model, key)


def pretraining_loss(
    model: Pretrainer,
    objective: ObjectiveConfig,
    batch: Batch,
    draw: Draw[Encoder],
    changes: Mapping[str, Change],
    dtype: DTypeLike,
) -> tuple[Array, Metrics]:
    """The objective's loss and metrics of a batch after its random changes (if any)."""
    if changes:
        batch = viewed_batch(named_key(draw.key, "augment"), batch, changes)
    return objective.loss(model.encoder, model.heads, batch, draw, dtype)
